"""Ordinary traffic by protocol and direction, with the bytes of both ways."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.daemon.pipeline.long_flows import MAX_FLOWS, MIN_BYTES
from monitor.daemon.pipeline.traffic import Traffic
from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowListed, FlowOpened, FlowReset
from monitor.model.protocols import PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP
from tests.support.flows import CLIENT, NODE, flow

OWN = frozenset(map(parse_address, (NODE, "2001:db8::1")))
DIRECTIONS = ("in", "out", "local", "forwarded")


def closed(source: str = CLIENT, to: str = NODE, **more: Any) -> Flow:
    """Return a flow that ended, of 3 packets and 300 bytes one way and 4 and 4,000 back."""
    counters = {"original_packets": 3, "original_bytes": 300, "reply_packets": 4, "reply_bytes": 4000}
    return flow(FlowClosed, source, to=to, **counters | more)


def counted(*, opened: list[Flow] | None = None, ending: list[Flow] | None = None) -> dict[tuple[str, ...], float]:
    """Return the samples after one batch by name and labels, without those that are zero."""
    traffic = Traffic()
    traffic.count(FlowBatch(1000.0, opened=opened or [], ending=ending or []), OWN)
    return {(name.removeprefix("nodewarden_"), *labels): value for name, labels, value in traffic.samples() if value}


@pytest.mark.parametrize(
    ("source", "to", "direction", "back"),
    [
        (CLIENT, NODE, "in", "out"),
        ("2001:db8:a::7", "2001:db8::1", "in", "out"),
        (NODE, CLIENT, "out", "in"),
        (NODE, NODE, "local", "local"),
        (CLIENT, "10.244.1.7", "forwarded", "forwarded"),
        (CLIENT, "224.0.0.251", "in", "out"),
        (CLIENT, "255.255.255.255", "in", "out"),
        ("2001:db8:a::7", "ff02::1", "in", "out"),
        (NODE, "224.0.0.251", "local", "local"),
    ],
)
def test_directions(source: str, to: str, direction: str, back: str) -> None:
    """Who began it and who answers decide; what is answered goes the other way, and what is sent to many is for us."""
    known = counted(opened=[flow(FlowOpened, source, to=to)], ending=[closed(source, to)])
    expected: dict[tuple[str, ...], float] = {
        ("flows_total", event, "tcp", direction): 1 for event in ("opened", "closed")
    }
    for unit, there, answer in (("packets", 3, 4), ("bytes", 300, 4000)):
        for label, total in ((direction, there), (back, answer)):
            name = (f"flow_{unit}_total", label)
            expected[name] = expected.get(name, 0) + total
    assert known == expected


def test_who_really_answers_decides() -> None:
    """A node port that leads to a pod is forwarded; a service address that leads to the node is not."""
    pod = flow(FlowOpened, real_to="10.244.1.7")
    node = flow(FlowOpened, to="10.96.0.10", real_to=NODE)
    assert counted(opened=[pod, pod, node]) == {
        ("flows_total", "opened", "tcp", "forwarded"): 2,
        ("flows_total", "opened", "tcp", "in"): 1,
    }


def test_protocols_have_names() -> None:
    """Those without one add up, so that forged ones make no new time series."""
    protocols = (PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_GRE, 200, 201)
    known = counted(opened=[flow(FlowOpened, protocol=protocol) for protocol in protocols])
    assert {labels[2]: value for labels, value in known.items()} == {"tcp": 1, "udp": 1, "icmp": 1, "other": 3}


def test_a_flow_ends_once() -> None:
    """Of all signs of an end only that of the entry counts: the others come before it."""
    ending = [flow(FlowReset, original_bytes=7, reply_bytes=7), closed()]
    assert counted(ending=ending)["flows_total", "closed", "tcp", "in"] == 1
    assert counted(ending=ending)["flow_bytes_total", "in"] == 300


def test_without_counters_flows_are_counted_and_bytes_are_not() -> None:
    """As with nf_conntrack_acct off."""
    bare = closed(original_packets=None, original_bytes=None, reply_packets=None, reply_bytes=None)
    assert counted(ending=[bare]) == {("flows_total", "closed", "tcp", "in"): 1}
    assert counted(ending=[closed(reply_packets=None, reply_bytes=None)])["flow_bytes_total", "in"] == 300


def test_totals_go_on_from_batch_to_batch() -> None:
    """Directions are there from the start with zero; a node that gets another address counts from then on by that."""
    traffic = Traffic()
    assert sorted(traffic.samples()) == sorted(
        (f"nodewarden_flow_{unit}_total", (direction,), 0) for unit in ("packets", "bytes") for direction in DIRECTIONS
    )
    for own in (OWN, OWN, frozenset[bytes]()):
        traffic.count(FlowBatch(1000.0, ending=[closed()]), own)
    samples = {(name, labels): value for name, labels, value in traffic.samples()}
    assert samples["nodewarden_flow_bytes_total", ("in",)] == 600
    assert samples["nodewarden_flow_bytes_total", ("out",)] == 8000
    assert samples["nodewarden_flow_bytes_total", ("forwarded",)] == 4300


def running(sent: int, number: int = 1, kind: type[Flow] = FlowListed) -> Flow:
    """Return a flow of a client to the node that has sent so many bytes, and got a tenth of them."""
    counters: dict[str, Any] = {"original_packets": sent // 1000, "original_bytes": sent}
    return flow(kind, id=number, **counters, reply_packets=sent // 10_000, reply_bytes=sent // 10)


def bytes_in(traffic: Traffic) -> float:
    """Return the bytes that came in."""
    return next(
        value for name, labels, value in traffic.samples() if name.endswith("flow_bytes_total") and labels == ("in",)
    )


def test_bytes_of_long_flows_count_while_they_run() -> None:
    """A transfer of hours shows as it goes, and its end adds only what is new; what came before the start does not."""
    traffic = Traffic()
    traffic.count_running([running(50 * MIN_BYTES)], OWN, is_complete=True)
    assert bytes_in(traffic) == 0
    for sent, total in ((60, 10), (60, 10), (75, 25)):
        traffic.count_running([running(sent * MIN_BYTES)], OWN, is_complete=True)
        assert bytes_in(traffic) == total * MIN_BYTES
    traffic.count(FlowBatch(1000.0, ending=[running(80 * MIN_BYTES, kind=FlowClosed)]), OWN)
    assert bytes_in(traffic) == 30 * MIN_BYTES


def test_short_flows_count_when_they_end() -> None:
    """They are most of them, and the listing remembers none."""
    traffic = Traffic()
    for _ in range(2):
        traffic.count_running([running(MIN_BYTES // 2)], OWN, is_complete=True)
    assert bytes_in(traffic) == 0
    traffic.count(FlowBatch(1000.0, ending=[running(MIN_BYTES // 2, kind=FlowClosed)]), OWN)
    assert bytes_in(traffic) == MIN_BYTES // 2


def test_flows_that_end_unseen_are_forgotten() -> None:
    """After a gap in the events the next complete listing clears them, and another flow of the number starts anew."""
    traffic = Traffic()
    traffic.count_running([], OWN, is_complete=True)
    traffic.count_running([running(9 * MIN_BYTES)], OWN, is_complete=True)
    traffic.count_running([], OWN, is_complete=False)
    assert len(traffic._long) == 1
    traffic.count_running([], OWN, is_complete=True)
    assert len(traffic._long) == 0
    traffic.count(FlowBatch(1000.0, ending=[running(2 * MIN_BYTES, kind=FlowClosed)]), OWN)
    assert bytes_in(traffic) == 11 * MIN_BYTES


def test_long_flows_are_bounded() -> None:
    """Beyond the bound flows count when they end, and a notice says so as long as it is so."""
    traffic = Traffic()
    traffic.count_running([], OWN, is_complete=True)
    for _ in range(2):
        traffic.count_running([running(2 * MIN_BYTES, n) for n in range(MAX_FLOWS + 9)], OWN, is_complete=True)
    assert len(traffic._long) == MAX_FLOWS
    (notice,) = traffic.notices()
    assert notice.startswith("bytes of 9 long flows are counted only when they end")
    assert bytes_in(traffic) == 2 * MIN_BYTES * MAX_FLOWS
    ending = [running(2 * MIN_BYTES, n, FlowClosed) for n in range(MAX_FLOWS + 9)]
    traffic.count(FlowBatch(1000.0, ending=ending), OWN)
    assert bytes_in(traffic) == 2 * MIN_BYTES * (MAX_FLOWS + 9)
    traffic.count_running([], OWN, is_complete=True)
    assert list(traffic.notices()) == []


@given(st.lists(st.integers(0, 5 * MIN_BYTES), min_size=1, max_size=9), st.lists(st.booleans(), min_size=9, max_size=9))
def test_each_byte_counts_once(steps: list[int], is_listed: list[bool]) -> None:
    """However often a flow is listed, and whenever a listing ends: in the end it counts as if it had only ended."""
    traffic, sent = Traffic(), 0
    traffic.count_running([], OWN, is_complete=True)
    for step, listed in zip(steps, is_listed, strict=False):
        sent += step
        if listed:
            traffic.count_running([running(sent)], OWN, is_complete=True)
    traffic.count(FlowBatch(1000.0, ending=[running(sent, kind=FlowClosed)]), OWN)
    assert bytes_in(traffic) == sent
