"""Raw IPv4 packets, where the packets matter and no program here sends them."""

import ipaddress
import socket
import struct
import time
from collections.abc import Iterable

from tests.support.lab import Host

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ICMP, IGMP, TCP, UDP, VRRP = 1, 2, 6, 17, 112


def ipv4(source: str, destination: str, protocol: int, payload: bytes, *, ttl: int = 64) -> bytes:
    """Return a packet; the kernel fills in checksum and identification."""
    addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, ttl, protocol, 0) + addresses + payload


def tcp(
    source: tuple[str, int],
    destination: tuple[str, int],
    flags: int,
    *,
    payload: bytes = b"",
    ttl: int = 64,
    sequence: int = 0x11111111,
    acknowledged: int = 0x22222222,
) -> bytes:
    """Return a TCP segment in a packet; `acknowledged` counts with ACK only."""
    numbers = sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF if flags & ACK else 0
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], *numbers, 0x50, flags, 64240, 0, 0)
    summed = _checksum(source[0], destination[0], TCP, head + payload)
    return ipv4(source[0], destination[0], TCP, head[:16] + summed + head[18:] + payload, ttl=ttl)


def udp(source: tuple[str, int], destination: tuple[str, int], payload: bytes, *, ttl: int = 64) -> bytes:
    """Return a datagram in a packet."""
    head = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0)
    summed = _checksum(source[0], destination[0], UDP, head + payload)
    return ipv4(source[0], destination[0], UDP, head[:6] + summed + payload, ttl=ttl)


def icmp(kind: int, payload: bytes, *, code: int = 0) -> bytes:
    """Return an ICMP or IGMP message, which share checksum and its place."""
    plain = struct.pack("!BBH", kind, code, 0) + payload
    return plain[:2] + struct.pack("!H", _sum(plain)) + plain[4:]


def send(host: Host, packets: Iterable[bytes], *, pause_s: float = 0.0) -> int:
    """Send packets from a host, whatever their sources, by its routes; return their number."""
    with host.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sent = 0
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for packet in packets:
            sender.sendto(packet, (str(ipaddress.IPv4Address(packet[16:20])), 0))
            sent += 1
            time.sleep(pause_s)
    return sent


def send_multicast(host: Host, packets: Iterable[bytes]) -> None:
    """Send packets to groups or to everybody on the link of `eth0`, as frames."""
    with host.entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with sender:
        for packet in packets:
            head = packet[:10] + struct.pack("!H", _sum(packet[:20])) + packet[12:]
            first, *rest = packet[16:20]
            group = bytes((0x01, 0x00, 0x5E, rest[0] & 0x7F, *rest[1:])) if 224 <= first < 240 else b"\xff" * 6
            sender.sendto(head, ("eth0", 0x0800, 0, 0, group))


def _checksum(source: str, destination: str, protocol: int, segment: bytes) -> bytes:
    pseudo = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    return struct.pack("!H", _sum(pseudo + struct.pack("!HH", protocol, len(segment)) + segment))


def _sum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
