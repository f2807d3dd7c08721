"""Captures made by another implementation (dpkt): packets of clients and attackers, as files."""

import io
import struct
from collections.abc import Iterable
from typing import Any

import dpkt

from monitor.model.addresses import parse_address

SYN, ACK, RST, FIN, PSH, URG = 0x02, 0x10, 0x04, 0x01, 0x08, 0x20
CLIENT, SERVER = "198.51.100.7", "192.0.2.1"
START_S = 1_795_000_000.0
Timed = tuple[float, bytes]


def ip(source: str, destination: str, protocol: int, payload: Any) -> Any:
    """Return an IP packet of either family."""
    if ":" in source:
        packet = dpkt.ip6.IP6(src=parse_address(source), dst=parse_address(destination), nxt=protocol, data=payload)
        packet.plen = len(payload)
        return packet
    packet = dpkt.ip.IP(src=parse_address(source), dst=parse_address(destination), p=protocol, data=payload)
    packet.len = 20 + len(payload)
    return packet


def tcp(source: str, destination: str, ports: tuple[int, int], flags: int) -> Any:
    """Return a segment."""
    return ip(source, destination, 6, dpkt.tcp.TCP(sport=ports[0], dport=ports[1], flags=flags))


def udp(source: str, destination: str, ports: tuple[int, int], size: int = 0) -> Any:
    """Return a datagram with so many bytes."""
    return ip(source, destination, 17, dpkt.udp.UDP(sport=ports[0], dport=ports[1], ulen=8 + size, data=bytes(size)))


def echo(source: str, destination: str, number: int, *, is_reply: bool = False) -> Any:
    """Return a ping or its answer."""
    message = dpkt.icmp.ICMP(type=0 if is_reply else 8, data=dpkt.icmp.ICMP.Echo(id=number, seq=1))
    return ip(source, destination, 1, message)


def ethernet(packet: Any, *tags: int) -> bytes:
    """Return the frame of a packet, with VLAN tags (their EtherTypes)."""
    kind = 0x86DD if isinstance(packet, dpkt.ip6.IP6) else 0x0800
    head = bytes(12) + b"".join(struct.pack("!HH", tag, 7) for tag in tags)
    return head + struct.pack("!H", kind) + bytes(packet)


def handshake(
    client: str = CLIENT, server: str = SERVER, port: int = 22, *, at_s: float = 0.0, source: int = 40_000
) -> list[tuple[float, Any]]:
    """Return the three packets of a handshake."""
    there, back = (source, port), (port, source)
    return [
        (at_s, tcp(client, server, there, SYN)),
        (at_s + 0.01, tcp(server, client, back, SYN | ACK)),
        (at_s + 0.02, tcp(client, server, there, ACK)),
    ]


def syn_scan(
    count: int, *, attacker: str = CLIENT, target: str = SERVER, gap_s: float = 0.01, is_refused: bool = True
) -> list[tuple[float, Any]]:
    """Return a scan of `count` ports, from 1000 on."""
    packets = []
    for number in range(count):
        ports = 50_000, 1000 + number
        packets.append((number * gap_s, tcp(attacker, target, ports, SYN)))
        if is_refused:
            packets.append((number * gap_s + 0.001, tcp(target, attacker, ports[::-1], RST | ACK)))
    return packets


def pcap(packets: Iterable[tuple[float, Any]], **options: Any) -> bytes:
    """Return a pcap file of Ethernet frames."""
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, **options)
    for at_s, packet in packets:
        writer.writepkt(ethernet(packet) if not isinstance(packet, bytes) else packet, ts=START_S + at_s)
    return file.getvalue()


def pcapng(packets: Iterable[tuple[float, Any]]) -> bytes:
    """Return a pcapng file of Ethernet frames."""
    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file)
    for at_s, packet in packets:
        writer.writepkt(ethernet(packet), ts=START_S + at_s)
    return file.getvalue()
