"""Capture files: both formats, every link type that is read, cut packets, damage; and what is unusable is named."""

import struct
from pathlib import Path
from typing import Any

import dpkt
import pytest

from monitor.daemon.replay.foreign.packets import CUT, FRAGMENT, NOT_IP, Packet, read_packet
from tests.support.captures import (
    CLIENT,
    SERVER,
    START_S,
    SYN,
    ethernet,
    handshake,
    ip,
    pcap,
    pcapng,
    syn_scan,
    tcp,
    udp,
)
from tests.support.conntrack import messages
from tests.unit.foreign.support import read

_SYN = tcp(CLIENT, SERVER, (40_000, 22), SYN)
_SYN6 = tcp("2001:db8::7", "2001:db8::1", (40_000, 22), SYN)


def _cooked(packet: Any, kind: int) -> bytes:
    return struct.pack("!HHH8sH", kind, 1, 6, bytes(8), 0x0800) + bytes(packet)


def _cooked_2(packet: Any, kind: int) -> bytes:
    return struct.pack("!HHIHBB8s", 0x0800, 0, 3, 1, kind, 6, bytes(8)) + bytes(packet)


_FRAMES = {
    "Ethernet": (1, ethernet(_SYN)),
    "Ethernet, IPv6": (1, ethernet(_SYN6)),
    "a VLAN": (1, ethernet(_SYN, 0x8100)),
    "two VLANs": (1, ethernet(_SYN, 0x88A8, 0x8100)),
    "Linux cooked": (113, _cooked(_SYN, 0)),
    "Linux cooked v2": (276, _cooked_2(_SYN, 0)),
    "raw": (101, bytes(_SYN)),
    "raw, IPv6": (101, bytes(_SYN6)),
    "BSD loopback, IPv6": (0, struct.pack("<I", 10) + bytes(_SYN6)),
    "OpenBSD loopback": (108, struct.pack(">I", 2) + bytes(_SYN)),
}


@pytest.mark.parametrize("name", _FRAMES)
def test_every_link_type_carries_the_same_packet(name: str) -> None:
    """And each frame that is cut is named as such, at whatever byte, without an error."""
    link_type, frame = _FRAMES[name]
    packet = read_packet(7.0, link_type, frame)
    assert isinstance(packet, Packet)
    assert (packet.source_port, packet.destination_port, packet.tcp_flags) == (40_000, 22, SYN)
    assert packet.source.hex() in ("c6336407", "20010db8" + "0" * 23 + "7")
    assert packet.size_bytes == (60 if len(packet.source) == 16 else 40)
    needed = frame.rindex(struct.pack("!HH", 40_000, 22)) + 14
    for size in range(len(frame)):
        found = read_packet(7.0, link_type, frame[:size])
        assert isinstance(found, Packet) == (size >= needed), size
        assert isinstance(found, Packet) or found in (CUT, NOT_IP)


def test_extension_headers_are_read_over() -> None:
    """Hop-by-hop, routing, destination options, authentication and a first fragment."""
    segment = bytes(dpkt.tcp.TCP(sport=40_000, dport=22, flags=SYN))
    for kind, header in (
        (0, bytes((6, 0)) + bytes(6)),
        (43, bytes((6, 1)) + bytes(14)),
        (60, bytes((6, 0)) + bytes(6)),
        (51, bytes((6, 1)) + bytes(10)),
        (44, bytes((6, 0, 0, 1)) + bytes(4)),
    ):
        packet = bytes(ip("2001:db8::7", "2001:db8::1", 59, b""))
        packet = packet[:6] + bytes((kind,)) + packet[7:] + header + segment
        found = read_packet(7.0, 101, packet)
        assert isinstance(found, Packet), kind
        assert found.destination_port == 22
    later = packet[:42] + b"\x00\x08" + packet[44:]
    assert read_packet(7.0, 101, later) == FRAGMENT


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    """pcap in either byte order, with nanoseconds, packed, and pcapng."""
    packets = syn_scan(3)
    little = pcap(packets)
    found = [
        read(tmp_path / "a", little).flows("incomplete"),
        read(tmp_path / "b", pcapng(packets)).flows("incomplete"),
    ]
    found.append(read(tmp_path / "c", pcap(packets, nano=True)).flows("incomplete"))
    found.append(read(tmp_path / "d", _other_order(little)).flows("incomplete"))
    for flows in found:
        assert [flow.destination_port for flow in flows] == [1000, 1001, 1002]
        assert flows[2].time_s == pytest.approx(START_S + 0.02, abs=1e-5)


def _other_order(data: bytes) -> bytes:
    head = struct.unpack("<IHHIIII", data[:24])
    parts, position = [struct.pack(">IHHIIII", *head)], 24
    while position < len(data):
        record = struct.unpack_from("<IIII", data, position)
        parts.append(struct.pack(">IIII", *record) + data[position + 16 : position + 16 + record[2]])
        position += 16 + record[2]
    return b"".join(parts)


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_file_that_ends_early_keeps_what_was_whole(tmp_path: Path, make: Any) -> None:
    """At whatever byte it ends; and it is said."""
    whole = make(syn_scan(4))
    for size in range(len(whole) - 90, len(whole)):
        found = read(tmp_path / "some", whole[:size])
        assert len(found.flows("incomplete")) >= 3
        assert found.report.notes == ["it ends in the middle of a packet: what came before counts"] or (
            found.report.notes == [] and found.report.records < 8
        )


def test_damage_is_said(tmp_path: Path) -> None:
    """A length that cannot be: what came before counts."""
    whole = pcap(syn_scan(4))
    position = 24 + 16 + len(ethernet(_SYN)) + 8
    found = read(tmp_path / "some", whole[:position] + b"\xff\xff\xff\x7f" + whole[position + 4 :])
    assert (found.report.records, len(found.flows("opened"))) == (1, 1)
    assert found.report.notes[0] == "it is damaged after packet 1: what came before counts"


def test_nothing_usable_names_what_was_there(tmp_path: Path) -> None:
    """ARP, packets cut before the ports, and a link type that is not read."""
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    found = read(tmp_path / "a", pcap([(0.0, arp), (0.1, ethernet(_SYN)[:30])]))
    assert (found.events, found.report.records) == ([], 2)
    assert found.report.unused == {NOT_IP: 1, CUT: 1}
    wireless = read(tmp_path / "b", pcap([(0.0, arp)], linktype=105))
    assert wireless.report.unused == {"of link type 105, which is not read": 1}


def test_a_cooked_capture_says_who_the_node_is(tmp_path: Path) -> None:
    """By the packets that are for it, and those that it sent, although others are called more often."""
    frames = [(0.1 * n, _cooked(tcp(SERVER, f"198.51.100.{n}", (1000 + n, 443), SYN), 4)) for n in range(9)]
    frames.append((2.0, _cooked(_SYN, 0)))
    found = read(tmp_path / "some", pcap(frames, linktype=113))
    assert found.node == f"taken for the node: {SERVER}; name another with --node"


def test_netlink_messages_of_a_capture_are_decoded(tmp_path: Path) -> None:
    """What tcpdump writes of an nlmon interface: messages of connection tracking, with times."""
    head = struct.pack("!HH10sH", 4, 824, bytes(10), 12)
    frames = [(0.1 * number, head + message) for number, message in enumerate(messages("tcp"))]
    found = read(tmp_path / "some", pcap([*frames, (5.0, head[:14] + b"\0\0" + b"other")], linktype=253))
    assert len(found.flows("completed")) == 2
    assert found.flows("opened")[0].time_s == START_S
    assert found.report.unused["no messages of netfilter"] == 1


def test_impossible_times_are_left_out(tmp_path: Path) -> None:
    """A time after 2242 moves no clock."""
    late = pcapng(handshake())
    position = late.index(struct.pack("<II", 6, 0)[:4], 28) + 12
    found = read(tmp_path / "some", late[:position] + b"\xff\xff\xff\x7f" + late[position + 4 :])
    assert found.report.unused["dated before 1970 or after 2242"] == 1


def test_other_packets_of_the_node_do_not_count_twice(tmp_path: Path) -> None:
    """`tcpdump -i any` shows a forwarded packet on each interface that it passes."""
    packets = [(at_s + twice * 0.0001, packet) for at_s, packet in handshake() for twice in (0, 1)]
    found = read(tmp_path / "some", pcap(packets))
    assert (len(found.flows("opened")), len(found.flows("completed"))) == (1, 1)
    assert read(tmp_path / "other", pcap([(0.0, udp(CLIENT, SERVER, (1, 2)))] * 3)).report.events == 1
