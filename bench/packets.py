"""Ethernet frames from any source, as bytes (RFC 9293, RFC 768, RFC 791, RFC 8200)."""

import socket
import struct

from monitor.model.protocols import TCP_SYN

_ETHERTYPE = {4: 0x0800, 16: 0x86DD}


def syn_frame(link: tuple[bytes, bytes], source: bytes, destination: bytes, port: int) -> bytes:
    """Return the frame of a SYN to `port`; `link` is the destination's and the source's MAC, addresses are packed."""
    family = len(source)
    segment = struct.pack("!HHIIBBHHH", 51234, port, 1, 0, 5 << 4, TCP_SYN, 64240, 0, 0)
    pseudo = source + destination + struct.pack("!II", len(segment), socket.IPPROTO_TCP)
    segment = segment[:16] + _checksum(pseudo + segment) + segment[18:]
    header = _ipv4(source, destination, len(segment)) if family == 4 else _ipv6(source, destination, len(segment))
    return link[0] + link[1] + struct.pack("!H", _ETHERTYPE[family]) + header + segment


def udp_frame(link: tuple[bytes, bytes], source: bytes, destination: bytes, port: int) -> bytes:
    """Return the frame of an empty UDP datagram over IPv4, without a checksum, so that its ports may be replaced."""
    datagram = struct.pack("!HHHH", 51234, port, 8, 0)
    header = _ipv4(source, destination, len(datagram), socket.IPPROTO_UDP)
    return link[0] + link[1] + struct.pack("!H", _ETHERTYPE[4]) + header + datagram


def ipv4_packet(source: bytes, destination: bytes, payload: bytes, protocol: int) -> bytes:
    """Return an IPv4 packet of any protocol."""
    return _ipv4(source, destination, len(payload), protocol) + payload


def _ipv4(source: bytes, destination: bytes, length: int, protocol: int = socket.IPPROTO_TCP) -> bytes:
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 1, 0x4000, 64, protocol)
    checksum = _checksum(start + bytes(2) + source + destination)
    return start + checksum + source + destination


def _ipv6(source: bytes, destination: bytes, length: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_TCP, 64) + source + destination


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return (~total & 0xFFFF).to_bytes(2)
