"""Packets that take part in a handshake with known numbers, and tunnels."""

import struct

from tests.zoo.packets import TCP, _checksum, ipv4, udp

Endpoint = tuple[str, int]

VXLAN_PORT = 4789
_VNI = 7


def segment(source: Endpoint, destination: Endpoint, flags: int, sequence: int, acknowledged: int = 0) -> bytes:
    """Return a TCP segment with these numbers in a packet."""
    fields = (source[1], destination[1], sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 0x50, flags, 64240, 0, 0)
    head = struct.pack("!HHIIBBHHH", *fields)
    summed = _checksum(source[0], destination[0], TCP, head)
    return ipv4(source[0], destination[0], TCP, head[:16] + summed + head[18:])


def vxlan(source: Endpoint, destination: str, inner: bytes) -> bytes:
    """Return a packet in VXLAN (RFC 7348)."""
    frame = bytes(12) + b"\x08\x00" + inner
    return udp(source, (destination, VXLAN_PORT), struct.pack("!II", 0x08000000, _VNI << 8) + frame)


def unreachable(quoted: bytes) -> bytes:
    """Return the payload of an ICMP error about a packet."""
    return bytes(4) + quoted[:28]
