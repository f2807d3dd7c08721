"""Frames of probes, and what comes back: each packet carries the number of its question.

A SYN has the number in its sequence number, which comes back in the acknowledgement, in a reset and in the quotation of
an ICMP error, whatever addresses and ports are translated on the way. A datagram has it in its payload.
"""

import socket
import struct
from typing import NamedTuple

from monitor.audit.reach import Protocol
from monitor.model.protocols import (
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TCP_ACK,
    TCP_RST,
    TCP_SYN,
)

PEER_MAC = bytes.fromhex("020000000001")
_MARK = b"nwaudit!"
_FIRST_SEQUENCE = 0x10000000
_FIRST_PORT, _PORTS = 32768, 28000
_IP4, _IP6 = 0x0800, 0x86DD
_UNREACHABLE4, _UNREACHABLE6 = 3, 1  # RFC 792, RFC 4443
_IP6_BYTES, _ERROR_BYTES = 40, 8
_SYN_OPTIONS = bytes.fromhex("020405b40402080a000010000000000001030307")
"""As Linux sends them (RFC 9293, 7323, 2018): rules match options, and the length of a packet without them."""


class Seen(NamedTuple):
    """What a frame says about a question."""

    number: int
    kind: str
    """As in `Answer.kind`."""
    address: str
    """Its destination."""
    port: int


def probe(number: int, mac: bytes, protocol: Protocol, source: bytes, target: bytes, port: int) -> bytes:
    """Return a frame with a SYN or a datagram; addresses have 4 or 16 bytes."""
    from_port = _FIRST_PORT + number % _PORTS
    if protocol == "tcp":
        kind = PROTOCOL_TCP
        head = struct.pack(
            "!HHIIBBHHH", from_port, port, (_FIRST_SEQUENCE + number) & 0xFFFFFFFF, 0, 10 << 4, TCP_SYN, 64240, 0, 0
        )
        body, at = head + _SYN_OPTIONS, 16
    else:
        kind = PROTOCOL_UDP
        data = _MARK + number.to_bytes(4)
        body, at = struct.pack("!HHHH", from_port, port, 8 + len(data), 0) + data, 6
    pseudo = source + target + struct.pack("!II", len(body), kind)
    body = body[:at] + struct.pack("!H", _checksum(pseudo + body) or 0xFFFF) + body[at + 2 :]
    return _ethernet(mac, len(target)) + _network(kind, source, target, len(body), number) + body


def _ethernet(mac: bytes, address_bytes: int) -> bytes:
    """Return the header of a frame."""
    return mac + PEER_MAC + (_IP4 if address_bytes == 4 else _IP6).to_bytes(2)


def _network(kind: int, source: bytes, target: bytes, length: int, number: int) -> bytes:
    if len(target) == 16:
        return struct.pack("!IHBB", 6 << 28, length, kind, 63) + source + target
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, number & 0xFFFF, 0x4000, 63, kind, 0) + source + target
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:]


def _checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_frame(frame: bytes) -> Seen | None:
    """Return what a frame from the node says; None if it belongs to no question."""
    try:
        return _read(frame)
    except (struct.error, IndexError):
        return None


def _read(frame: bytes) -> Seen | None:
    ether = int.from_bytes(frame[12:14])
    if ether not in (_IP4, _IP6):
        return None
    kind, at, address = network_header(frame[14:])
    body = frame[14 + at :]
    if kind == (PROTOCOL_ICMP if ether == _IP4 else PROTOCOL_ICMPV6):
        if body[0] != (_UNREACHABLE4 if ether == _IP4 else _UNREACHABLE6):
            return None
        inner = body[_ERROR_BYTES:]
        kind, at, address = network_header(inner)
        number = number_of(kind, inner[at:])
        return None if number is None else Seen(number, "refused", address, 0)
    port = int.from_bytes(body[2:4])
    if kind == PROTOCOL_TCP and body[13] & (TCP_ACK | TCP_RST):
        number = (int.from_bytes(body[8:12]) - 1 - _FIRST_SEQUENCE) & 0xFFFFFFFF
        return Seen(number, "reset" if body[13] & TCP_RST else "answered", address, port)
    number = number_of(kind, body)
    return None if number is None else Seen(number, "left", address, port)


def network_header(packet: bytes) -> tuple[int, int, str]:
    """Return the protocol, the length of the header and the destination in text; struct.error if it is too short."""
    if packet[0] >> 4 == 4:
        if len(packet) < 20:
            raise struct.error("truncated")
        return packet[9], (packet[0] & 0xF) * 4, socket.inet_ntop(socket.AF_INET, packet[16:20])
    if len(packet) < _IP6_BYTES:
        raise struct.error("truncated")
    return packet[6], _IP6_BYTES, socket.inet_ntop(socket.AF_INET6, packet[24:40])


def number_of(kind: int, body: bytes) -> int | None:
    """Return the question of a transport header with at least 8 bytes of TCP or 20 of UDP; None: it has none."""
    if kind == PROTOCOL_TCP and len(body) >= 8:
        return (int.from_bytes(body[4:8]) - _FIRST_SEQUENCE) & 0xFFFFFFFF
    if kind == PROTOCOL_UDP and body[8:16] == _MARK:
        return int.from_bytes(body[16:20])
    return None


def number_of_datagram(data: bytes) -> int | None:
    """Return the question of a payload that arrived at a socket."""
    return int.from_bytes(data[8:12]) if data[:8] == _MARK and len(data) == 12 else None
