"""Packets that hold or quote other packets."""

import struct

from tests.zoo.packets import udp

Endpoint = tuple[str, int]

VXLAN_PORT = 4789
_VNI = 7


def vxlan(source: Endpoint, destination: str, inner: bytes) -> bytes:
    """Return a packet in VXLAN (RFC 7348)."""
    frame = bytes(12) + b"\x08\x00" + inner
    return udp(source, (destination, VXLAN_PORT), struct.pack("!II", 0x08000000, _VNI << 8) + frame)


def unreachable(quoted: bytes) -> bytes:
    """Return the payload of an ICMP error about a packet."""
    return bytes(4) + quoted[:28]
