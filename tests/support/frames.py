"""Frames for XDP, and an independent implementation of the verdict of `bpf/xdp_ban.c`."""

import ipaddress
import struct
from collections.abc import Callable, Iterator

MAX_TAGS = 2
DROP, PASS = 1, 2  # enum xdp_action, linux/bpf.h
_TAGS = (0x8100, 0x88A8)


def ethernet(payload: bytes, kind: int, *tags: int) -> bytes:
    """Return a frame with VLAN tags (their EtherTypes), outermost first."""
    kinds = [*tags, kind]
    return bytes(12) + b"".join(struct.pack("!HH", one, 100) for one in kinds[:-1]) + struct.pack("!H", kind) + payload


def ipv4(source: str, payload: bytes, protocol: int = 6, *, options: bytes = b"", fragment: int = 0) -> bytes:
    """Return a packet; `fragment` is the field of flags and offset."""
    words = 5 + len(options) // 4
    first = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), 7, fragment, 64, protocol, 0)
    return first + ipaddress.ip_address(source).packed + ipaddress.ip_address("10.0.0.1").packed + options + payload


def ipv6(source: str, payload: bytes, next_header: int = 6) -> bytes:
    """Return a packet."""
    first = struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64)
    return first + ipaddress.ip_address(source).packed + ipaddress.ip_address("2001:db8::1").packed + payload


def extensions(payload: bytes, last: int, *kinds: int) -> tuple[int, bytes]:
    """Return the type of the first header, and a chain of extension headers of 8 or 16 bytes before a payload."""
    following = last
    for kind in reversed(kinds):
        header = bytes((following, 0)) + bytes(6) if kind == 44 else bytes((following, 1)) + bytes(14)
        if kind == 51:  # its length is in words of four bytes, minus two
            header = bytes((following, 2)) + bytes(14)
        payload, following = header + payload, kind
    return following, payload


def tcp(flags: int = 0x02) -> bytes:
    """Return the header of a segment."""
    return struct.pack("!HHIIBBHHH", 51234, 443, 1, 0, 0x50, flags, 64240, 0, 0)


def udp() -> bytes:
    """Return an empty datagram."""
    return struct.pack("!HHHH", 51234, 53, 8, 0)


def all_shapes(source4: str, source6: str) -> Iterator[bytes]:
    """Yield frames of every kind, from these sources."""
    options = bytes(3) + b"\x01" + bytes(36)
    packets4 = [ipv4(source4, tcp()), ipv4(source4, udp(), 17), ipv4(source4, tcp(), options=options)]
    packets4 += [ipv4(source4, tcp(), options=bytes(4)), ipv4(source4, udp(), 17, fragment=0x2000)]
    packets4 += [ipv4(source4, udp(), 17, fragment=0x0010), ipv4(source4, b"", 1), ipv4(source4, udp(), 255)]
    packets6 = [ipv6(source6, tcp()), ipv6(source6, udp(), 17), ipv6(source6, b"", 59)]
    chains: list[tuple[int, ...]] = [
        (0,),
        (0, 43, 60),
        (44,),
        (51,),
        (0, 60, 43, 44, 51, 60),
        (60,) * 7,
        (135,),
        (60,) * 20,
    ]
    for chain in chains:
        first, payload = extensions(tcp(), 6, *chain)
        packets6.append(ipv6(source6, payload, first))
    for tags in ((), (0x8100,), (0x88A8, 0x8100), (0x8100, 0x8100, 0x8100), (0x88A8,) * 6):
        yield from (ethernet(packet, 0x0800, *tags) for packet in packets4)
        yield from (ethernet(packet, 0x86DD, *tags) for packet in packets6)
        yield ethernet(packets4[0], 0x86DD, *tags)  # the type does not match the content
        yield ethernet(packets6[0], 0x0800, *tags)
        yield ethernet(bytes(60), 0x0806, *tags)


def verdict(frame: bytes, is_banned: Callable[[bytes], bool]) -> int:
    """Return the verdict for a frame: dropped if a complete IP header of a banned source follows at most two tags."""
    at, tags = 12, 0
    while True:
        if len(frame) < at + 2:
            return PASS
        kind = int.from_bytes(frame[at : at + 2])
        if kind not in _TAGS:
            break
        tags += 1
        if tags > MAX_TAGS:
            return PASS
        at += 4
    packet = frame[at + 2 :]
    for number, version, length, where in ((0x0800, 4, 20, slice(12, 16)), (0x86DD, 6, 40, slice(8, 24))):
        if kind == number and len(packet) >= length and packet[0] >> 4 == version:
            return DROP if is_banned(packet[where]) else PASS
    return PASS
