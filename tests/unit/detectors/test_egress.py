"""Egress: flows out to where nobody approved, and all that only looks like one."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from monitor.detectors.egress import EgressDetector, EgressSettings
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowListed
from monitor.model.flows import FlowOpened as Opened
from monitor.model.networks import Networks, Surrounding
from monitor.model.pods import Pod, Pods, PodTable
from monitor.model.protocols import (
    PROTOCOL_GRE,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TCP_ESTABLISHED,
    TCP_SYN_RECV,
)
from tests.support.detectors import Samples
from tests.support.flows import NODE, flow, handshakes

OUTSIDE, POD, ROUTED = "203.0.113.9", "10.244.1.7", "192.168.5.5"
APPROVED = ("198.51.100.0/24", "2001:db8:a::/48")
SURROUNDING = Surrounding(
    own=frozenset(map(parse_address, (NODE, "2001:db8::1"))),
    pods=Networks([parse_network("10.244.0.0/16")]),
    protected=Networks([parse_network("10.0.0.0/8")]),
)
SAMPLES = Samples(
    EgressSettings(approved=(parse_network("198.51.100.0/24"),)),
    fires=[FlowBatch(1000.0, opened=[flow(Opened, NODE, 443, to=OUTSIDE)])],
    quiet={
        "approved destinations": [FlowBatch(1000.0, opened=[flow(Opened, NODE, 443, to="198.51.100.9")])],
        "flows of others": [FlowBatch(1000.0, opened=[flow(Opened, ROUTED, 443, to=OUTSIDE)])],
        "replies of a server that connection tracking forgot": [
            FlowBatch(1000.0, opened=[flow(Opened, NODE, 40_000, to=OUTSIDE, state=TCP_ESTABLISHED)])
        ],
    },
)


def detector(*, max_entries: int = 1000) -> EgressDetector:
    """Return one of a node with an address of each family, pods, and a network it routes for."""
    limits = Limits(600.0, 1, max_entries)
    known = EgressDetector(limits, [parse_network(text) for text in APPROVED], [parse_network("192.168.5.0/24")])
    known.follow(SURROUNDING)
    return known


def out(to: str = OUTSIDE, port: int | None = 443, source: str = NODE, **more: Any) -> Flow:
    """Return a flow that the node opens, by default one of TCP to port 443 outside."""
    return flow(Opened, source, port, to=to, **more)


def feed(known: EgressDetector, *flows: Flow) -> list[Alert]:
    """Feed what opened."""
    return list(known.feed([FlowBatch(1000.0, opened=list(flows))]))


def outsiders(numbers: Iterable[int], time_s: float = 1000.0) -> list[Flow]:
    """Return a flow to each of so many destinations that nobody approved."""
    return [out(f"203.0.{number >> 8}.{number & 255}", time_s=time_s) for number in numbers]


@pytest.mark.parametrize("source", [NODE, POD, ROUTED])
def test_a_flow_out_is_told_of_its_destination(source: str) -> None:
    """Of the node, a pod, and whom the node routes for; the alert says who called whom for what."""
    (alert,) = feed(detector(), out(source=source, time_s=1234.5))
    assert (alert.detector, alert.source, str(alert.network)) == ("egress", parse_address(OUTSIDE), OUTSIDE)
    assert (alert.strength, alert.time_s, alert.is_alone) == (Strength.DESTINATION, 1234.5, True)
    assert alert.evidence.what == "flow out to a destination that is not approved"
    assert alert.evidence.sample == (f"{source} to tcp/443",)


def test_flows_that_nothing_watches_are_counted_and_reported() -> None:
    """A container of a network that nobody named calls out: no alert, but status names the network, for an hour."""
    known = detector()
    container = "172.17.0.2"
    known.follow(msgspec.structs.replace(SURROUNDING, behind=Networks([parse_network("172.17.0.0/16")])))
    quiet = [
        out(source=container, to="198.51.100.9"),  # approved
        out(source=container, to="172.17.0.3"),  # of another container
        out(source=container, to="224.0.0.251", protocol=PROTOCOL_UDP),
        out(source=container, to=NODE),
        out(source=OUTSIDE, to=container),  # a visitor
    ]
    assert feed(known, *quiet) == []
    assert (known.uncovered, list(known.notices(1000.0))) == (0, [])
    assert feed(known, out(source=container), out(source="10.9.9.9")) == []
    assert known.uncovered == 2
    (notice,) = known.notices(1010.0)
    assert "for 10.9.9.0/24, 172.17.0.0/24: add to detectors.egress.sources" in notice
    assert list(known.notices(1000.0 + 3601.0)) == []
    for number in range(200):
        feed(known, out(source=f"10.{number}.0.1"))
    assert "and 61 more" in next(iter(known.notices(1000.0)))


def test_a_pod_that_calls_out_is_named() -> None:
    """Addresses of pods change hands; the name says whom to look at."""
    known, names = detector(), Pods()
    names.take(PodTable({parse_address(POD): Pod("shop", "web-0")}), 0.0)
    known.follow(msgspec.structs.replace(SURROUNDING, names=names))
    (alert,) = feed(known, out(source=POD))
    assert alert.evidence.sample == (f"{POD} (pod shop/web-0) to tcp/443",)


def test_an_ipv6_destination_stands_for_itself() -> None:
    """Other than an offender, who may use a whole /64."""
    (alert,) = feed(detector(), out("2001:db8:b::7", source="2001:db8::1"))
    assert str(alert.network) == "2001:db8:b::7"


def test_what_is_approved_is_only_counted() -> None:
    """By configuration or because it is on the allowlist; each flow is counted once, by what it was."""
    known = detector()
    approved = [out("198.51.100.7"), out("2001:db8:a::7", source="2001:db8::1"), out("10.96.0.10"), out("10.244.2.2")]
    assert feed(known, *approved) == []
    assert len(feed(known, out(), out())) == 1
    assert known.flows == {True: 4, False: 2}


def test_flows_of_others_are_none_of_ours() -> None:
    """Who calls us, and who is only passing through, is no flow out; nor is what did not open just now."""
    known = detector()
    assert feed(known, flow(Opened), flow(Opened, to=POD), flow(Opened, OUTSIDE, to="198.18.0.1")) == []
    others = FlowBatch(
        1000.0,
        completed=handshakes(1, NODE, to=OUTSIDE),
        ending=[flow(FlowClosed, NODE, to=OUTSIDE)],
        listed=[flow(FlowListed, NODE, to=OUTSIDE, state=TCP_ESTABLISHED)],
    )
    assert list(known.feed([others])) == []
    assert known.flows == {True: 0, False: 0}


REPLIES = [
    out(port=50123, source_port=53, protocol=PROTOCOL_UDP),
    out(port=50123, source_port=443, protocol=PROTOCOL_UDP),
    out(port=50123, source_port=22, state=TCP_ESTABLISHED),
    out(port=50123, source_port=22, state=TCP_SYN_RECV),
    out(port=None, source_port=None, protocol=PROTOCOL_ICMP, icmp_type=0),
    out(port=None, source_port=None, protocol=PROTOCOL_ICMP, icmp_type=3),
    out("2001:db8:b::7", None, "2001:db8::1", source_port=None, protocol=PROTOCOL_ICMPV6, icmp_type=129),
    out("2001:db8:b::7", None, "2001:db8::1", source_port=None, protocol=PROTOCOL_ICMPV6, icmp_type=1),
]


@pytest.mark.parametrize("reply", REPLIES)
def test_answers_to_forgotten_flows_are_no_flows_out(reply: Flow) -> None:
    """A late answer opens an entry in the wrong direction: of a server, of TCP in its middle, of ping, an error."""
    known = detector()
    assert feed(known, reply) == []
    assert known.flows == {True: 0, False: 0}


REQUESTS = [
    out(port=53, source_port=50123, protocol=PROTOCOL_UDP),
    out(port=123, source_port=123, protocol=PROTOCOL_UDP),
    out(port=4500, source_port=50123, protocol=PROTOCOL_UDP),
    out(port=50123, source_port=22),
    out(port=None, source_port=None, protocol=PROTOCOL_ICMP, icmp_type=8),
    out("2001:db8:b::7", None, "2001:db8::1", source_port=None, protocol=PROTOCOL_ICMPV6, icmp_type=128),
    out(port=None, source_port=None, protocol=PROTOCOL_GRE),
]


@pytest.mark.parametrize("request_out", REQUESTS)
def test_requests_are_flows_out(request_out: Flow) -> None:
    """Of every protocol, NTP between servers and a tunnel too."""
    assert len(feed(detector(), request_out)) == 1


def test_who_really_answers_counts() -> None:
    """A service address of the cluster that leads outside counts; an address outside that leads to a pod does not."""
    (alert,) = feed(detector(), out("10.96.0.10", source=POD, real_to=OUTSIDE, real_port=8443))
    assert str(alert.network) == OUTSIDE
    assert feed(detector(), out(OUTSIDE, source=POD, real_to="10.244.2.2")) == []


def test_a_destination_is_told_of_once_within_findtime() -> None:
    """However often it is called, and then again; also once that lies in the future, since the clock was set back."""
    known = detector()
    told = [len(feed(known, out(time_s=1000.0 + 100 * number))) for number in range(13)]
    assert told == [1, 0, 0, 0, 0, 0] * 2 + [1]
    assert known.count(parse_address(OUTSIDE)) == 1
    assert [len(feed(known, out(time_s=time_s))) for time_s in (500.0, 501.0)] == [1, 0]
    assert known.count(parse_address(OUTSIDE)) == 2


def test_fifty_destinations_a_second_are_told_of() -> None:
    """The rest is counted as forgotten, and told of when its turn comes: nobody is passed over for good."""
    known = detector()
    assert len(feed(known, *outsiders(range(120)))) == 50
    assert known.stats.evicted_keys == 70
    for second in (1, 2):
        flows = outsiders(range(120), 1000.0 + second)
        assert len(feed(known, *flows)) == (50, 20)[second - 1]
    assert feed(known, *outsiders(range(120), 1003.0)) == []
    assert known.stats.entries == 120


def test_what_is_remembered_is_bounded() -> None:
    """A scan outwards leaves no more than allowed, those called last, and what is forgotten is counted."""
    known = detector(max_entries=30)
    for second in range(5):
        assert len(feed(known, *outsiders(range(40 * second, 40 * second + 40), 1000.0 + second))) == 40
        assert known.stats.entries == 30
    assert known.stats.evicted_keys == 170
    assert known.count(parse_address("203.0.0.199")) == 1
    assert known.count(parse_address("203.0.0.1")) == 0


def test_approval_follows_the_surrounding() -> None:
    """What is allowed by command is approved from then on, and an address the node loses is no longer its own."""
    known = detector()
    assert len(feed(known, out())) == 1
    known.follow(Surrounding(own=SURROUNDING.own, protected=Networks([parse_network(OUTSIDE)])))
    assert feed(known, out(time_s=9000.0)) == []
    known.follow(Surrounding())
    assert feed(known, out(time_s=9000.0, protocol=PROTOCOL_TCP)) == []
