"""Connections of a capture: what connection tracking would have reported of the same packets."""

from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.replay.foreign.connections import STRAY, Connections
from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.daemon.replay.foreign.flow_batches import OUT_OF_ORDER
from monitor.daemon.replay.foreign.packets import Packet
from monitor.model.addresses import parse_address
from monitor.model.flows import FlowClosed, FlowOpened
from tests.support.captures import (
    ACK,
    CLIENT,
    FIN,
    PSH,
    RST,
    SERVER,
    START_S,
    SYN,
    URG,
    echo,
    handshake,
    pcap,
    syn_scan,
    tcp,
    udp,
)
from tests.unit.foreign.support import Read, read

THERE, BACK = (40_000, 22), (22, 40_000)


def _read(tmp_path: Path, packets: list[tuple[float, Any]]) -> Read:
    return read(tmp_path / "some.pcap", pcap(packets))


@pytest.mark.parametrize("hosts", [(CLIENT, SERVER), ("2001:db8::7", "2001:db8::1")], ids=["IPv4", "IPv6"])
def test_a_handshake_is_completed(tmp_path: Path, hosts: tuple[str, str]) -> None:
    """Its third packet proves the source; nothing stays incomplete."""
    found = _read(tmp_path, handshake(*hosts))
    (flow,) = found.flows("completed")
    assert (flow.source, flow.destination) == tuple(map(parse_address, hosts))
    assert (flow.source_port, flow.destination_port, flow.is_established) == (40_000, 22, True)
    assert found.flows("incomplete") == []


def test_a_refused_attempt(tmp_path: Path) -> None:
    """RST in reply to a first packet: at once, and nothing stays open."""
    found = _read(tmp_path, [(0.0, tcp(CLIENT, SERVER, THERE, SYN)), (0.1, tcp(SERVER, CLIENT, BACK, RST | ACK))])
    (attempt,) = found.flows("incomplete")
    assert (attempt.was_refused, attempt.was_answered, attempt.time_s) == (True, False, START_S)


def test_an_unanswered_attempt(tmp_path: Path) -> None:
    """Retransmissions are the same attempt, also where the file ends with it."""
    found = _read(tmp_path, [(at_s, tcp(CLIENT, SERVER, THERE, SYN)) for at_s in (0.0, 1.0, 3.0)])
    (attempt,) = found.flows("incomplete")
    assert (attempt.was_refused, attempt.was_answered, attempt.destination_port) == (False, False, 22)


def test_an_attempt_that_is_given_up_after_the_answer(tmp_path: Path) -> None:
    """As half-open scanners and health checks do it."""
    packets = [*handshake()[:2], (0.02, tcp(CLIENT, SERVER, THERE, RST))]
    (attempt,) = _read(tmp_path, packets).flows("incomplete")
    assert (attempt.was_refused, attempt.was_answered) == (False, True)


def test_a_connection_ends_once(tmp_path: Path) -> None:
    """The first FIN says so; the entry goes after its time, with its counters, and its ports may be used again."""
    ends = [(1.0, tcp(CLIENT, SERVER, THERE, FIN | ACK)), (1.1, tcp(SERVER, CLIENT, BACK, FIN | ACK))]
    again = handshake(at_s=10.0)
    found = _read(tmp_path, [*handshake(), *ends, *again, (300.0, udp(CLIENT, SERVER, (1, 53)))])
    assert len(found.flows("completed")) == 2
    (closed,) = [flow for flow in found.flows("ending") if type(flow) is FlowClosed]
    assert (closed.time_s, closed.original_packets, closed.reply_packets) == (START_S + 10.0, 3, 2)
    assert len({flow.id for flow in found.flows("opened")}) == 3


def test_udp_has_no_handshake_and_ends_by_silence(tmp_path: Path) -> None:
    """An answer is counted; 30 s after the last packet the flow is over, at that time and not at that of the next."""
    packets = [(0.0, udp(CLIENT, SERVER, (999, 53), 40)), (0.5, udp(SERVER, CLIENT, (53, 999), 1000))]
    found = _read(tmp_path, [*packets, (500.0, udp(CLIENT, SERVER, (998, 53)))])
    (closed,) = found.flows("ending")
    assert (closed.original_bytes, closed.reply_bytes) == (68, 1028)
    assert closed.time_s == pytest.approx(START_S + 30.5)
    assert found.flows("incomplete") == []


def test_ping_is_a_flow_without_ports(tmp_path: Path) -> None:
    """Its answer belongs to it; one that nobody asked for is nothing."""
    packets = [(0.0, echo(CLIENT, SERVER, 7)), (0.1, echo(SERVER, CLIENT, 7, is_reply=True))]
    found = _read(tmp_path, [*packets, (0.2, echo(SERVER, CLIENT, 8, is_reply=True))])
    (flow,) = found.flows("opened")
    assert (flow.source_port, flow.icmp_id, flow.icmp_type) == (None, 7, 8)
    assert found.report.unused == {STRAY: 1}


@pytest.mark.parametrize("flags", [0, FIN, FIN | PSH | URG, SYN | FIN, SYN | ACK, RST], ids=str)
def test_what_belongs_to_no_connection_is_counted(tmp_path: Path, flags: int) -> None:
    """Connection tracking calls these invalid: no flow, whatever a scanner wants them to look like."""
    found = _read(tmp_path, [(0.0, tcp(CLIENT, SERVER, THERE, flags))])
    assert found.events == []
    assert found.report.unused == {STRAY: 1}


def test_a_connection_from_before_the_capture_proves_no_handshake(tmp_path: Path) -> None:
    """It is picked up in its middle, and is neither an attempt nor completed."""
    found = _read(tmp_path, [(0.0, tcp(CLIENT, SERVER, THERE, ACK)), (0.1, tcp(SERVER, CLIENT, BACK, ACK))])
    assert len(found.flows("opened")) == 1
    assert found.flows("completed") == found.flows("incomplete") == []


def test_a_guessed_node_is_the_one_that_is_called(tmp_path: Path) -> None:
    """The scanned host, not the scanner; and it is said."""
    found = _read(tmp_path, syn_scan(30))
    assert found.node == f"taken for the node: {SERVER}; name another with --node"


def test_packets_out_of_order_are_said(tmp_path: Path) -> None:
    """The clock never goes back; a second of reordering is ordinary."""
    first, second, third = handshake()
    assert _read(tmp_path, [first, second, third, (-0.5, udp(CLIENT, SERVER, (1, 2)))]).report.notes == []
    found = _read(tmp_path, [first, second, third, (-60.0, udp(CLIENT, SERVER, (1, 2)))])
    assert found.report.notes == [OUT_OF_ORDER]
    assert [one.time_s for one in found.inputs] == sorted(one.time_s for one in found.inputs)


def test_memory_is_bounded_and_the_rest_is_said() -> None:
    """A hostile capture of a million sources keeps no more than the table holds, unfinished connections first."""
    connections, report = Connections(100), FileReport("some")
    kept = [Packet(0.0, b"\xc6\x33\x64\x07", bytes(4), 6, 9, 22, 40, flags) for flags in (SYN, ACK)]
    answer = Packet(0.0, bytes(4), b"\xc6\x33\x64\x07", 6, 22, 9, 40, SYN | ACK)
    flood = [Packet(0.001 * n, n.to_bytes(4), bytes(4), 6, 9, 22, 40, SYN) for n in range(1, 5001)]
    opened = sum(type(flow) is FlowOpened for flow in connections.follow([kept[0], answer, kept[1], *flood], report))
    assert (opened, len(connections), connections.evicted_total) == (5001, 100, 4901)
    assert report.notes == ["4,901 connections were forgotten: more than 100 were open at once"]
    end = Packet(6.0, b"\xc6\x33\x64\x07", bytes(4), 6, 9, 22, 40, FIN | ACK)
    assert len(list(connections.follow([end], report))) == 1
