"""Ordinary traffic by protocol and direction, with the bytes of both ways."""

from typing import Any

import pytest

from monitor.daemon.pipeline.traffic import Traffic
from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowOpened, FlowReset
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
