"""Constructs packets byte by byte that no tool sends. TCP and UDP checksums are left out."""

import socket
import struct
from collections.abc import Iterable

from tests.support.corpus.scenario import ATTACKER, ATTACKER4, ATTACKER6, MACS, NODE, NODE4, NODE6
from tests.support.lab import Lab

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806


def checksum(data: bytes) -> int:
    """Return the Internet checksum of an even number of bytes (RFC 1071)."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    protocol: int,
    payload: bytes,
    *,
    source: str = ATTACKER4,
    destination: str = NODE4,
    fragment: int = 0,
    more: bool = False,
    options: bytes = b"",
) -> bytes:
    """Return an IPv4 packet (RFC 791); `fragment` is the offset in bytes, `options` a multiple of four."""
    words = 5 + len(options) // 4
    length = words * 4 + len(payload)
    header = (
        struct.pack(
            "!BBHHHBBH4s4s",
            0x40 | words,
            0,
            length,
            4711,
            more << 13 | fragment >> 3,
            64,
            protocol,
            0,
            socket.inet_aton(source),
            socket.inet_aton(destination),
        )
        + options
    )
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(next_header: int, payload: bytes, *, source: str = ATTACKER6, destination: str = NODE6) -> bytes:
    """Return an IPv6 packet (RFC 8200); extension headers are the start of its payload."""
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64)
        + socket.inet_pton(socket.AF_INET6, source)
        + socket.inet_pton(socket.AF_INET6, destination)
        + payload
    )


def tcp(source_port: int, destination_port: int, flags: int, options: bytes = b"") -> bytes:
    """Return a TCP header (RFC 9293) with nine flag bits."""
    words = 5 + len(options) // 4
    return struct.pack("!HHIIHHHH", source_port, destination_port, 1000, 2000, words << 12 | flags, 512, 0, 0) + options


def udp(source_port: int, destination_port: int, payload: bytes = b"payload.") -> bytes:
    """Return a UDP datagram (RFC 768)."""
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def icmp(kind: int, code: int, rest: bytes, payload: bytes = b"") -> bytes:
    """Return an ICMP message (RFC 792): `rest` is its second word. The checksum is wrong for ICMPv6."""
    message = struct.pack("!BBH4s", kind, code, 0, rest) + payload
    return message[:2] + struct.pack("!H", checksum(message + bytes(len(message) % 2))) + message[4:]


def extension(next_header: int) -> bytes:
    """Return an extension header of eight bytes (RFC 8200 section 4) that contains only padding."""
    return bytes((next_header, 0, 1, 4, 0, 0, 0, 0))


def fragment_header(next_header: int, offset: int, *, more: bool) -> bytes:
    """Return an IPv6 fragment header (RFC 8200 section 4.5); the offset is in bytes."""
    return struct.pack("!BBHI", next_header, 0, offset | more, 0xABCD)


def send(lab: Lab, packets: Iterable[bytes], *, vlan_id: int | None = None, ethertype: int | None = None) -> None:
    """Put packets on the wire from the attacker to the node, in Ethernet frames."""
    tag = b"" if vlan_id is None else struct.pack("!HH", 0x8100, vlan_id)
    addresses = bytes.fromhex(MACS[NODE].replace(":", "") + MACS[ATTACKER].replace(":", ""))
    with lab[ATTACKER].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for packet in packets:
            kind = ethertype or (IPV4 if packet[0] >> 4 == 4 else IPV6)
            wire.send(addresses + tag + struct.pack("!H", kind) + packet)
