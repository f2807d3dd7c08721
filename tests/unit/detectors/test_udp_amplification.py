"""UDP amplification: much is answered to little that was asked, in somebody's name."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detectors.limits import Limits
from monitor.detectors.udp_amplification import UdpAmplificationDetector, UdpAmplificationSettings
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowOpened, FlowReset
from monitor.model.networks import Surrounding
from monitor.model.protocols import PROTOCOL_UDP
from tests.support.detectors import Samples
from tests.support.flows import CLIENT, NODE, flow

LIMITS = Limits(60.0, 100_000)
ENDED = flow(FlowClosed, CLIENT, 53, protocol=PROTOCOL_UDP, original_bytes=60, reply_bytes=1000)
SAMPLES = Samples(
    UdpAmplificationSettings(answered_bytes=3000),
    fires=[FlowBatch(1000.0 + step, ending=[ENDED]) for step in range(3)],
    quiet={
        "long questions": [FlowBatch(1000.0, ending=[replace(ENDED, original_bytes=900)] * 9)],
        "other services": [
            FlowBatch(1000.0, ending=[replace(ENDED, destination_port=443, real_destination_port=443)] * 9)
        ],
        "the node's own questions": [FlowBatch(1000.0, ending=[replace(ENDED, source=parse_address(NODE))] * 9)],
    },
)


def detector() -> UdpAmplificationDetector:
    """Return one for DNS and NTP that fires for 100,000 bytes of answers, each eight times its request."""
    known = UdpAmplificationDetector(LIMITS, (53, 123), 8.0)
    known.follow(Surrounding(own=frozenset([parse_address(NODE)])))
    return known


def closed(asked: int | None = 60, answered: int | None = 3000, port: int = 53, **more: Any) -> Flow:
    """Return a UDP flow that ended, by default a small question to a resolver with a long answer."""
    fields = {"protocol": PROTOCOL_UDP, "original_bytes": asked, "reply_bytes": answered, **more}
    return flow(fields.pop("kind", FlowClosed), fields.pop("source", CLIENT), port, **fields)


def feed(known: UdpAmplificationDetector, flows: Iterable[Flow], time_s: float = 1000.0) -> list[Alert]:
    """Feed what ended."""
    return list(known.feed([FlowBatch(time_s, ending=list(flows))]))


def test_so_many_bytes_fire() -> None:
    """34 answers of 3,000 bytes within a minute; the source is whom they hit, and nobody proved that it asked."""
    known = detector()
    assert feed(known, [closed()] * 33) == []
    assert known.count(parse_address(CLIENT)) == 99_000
    (alert,) = feed(known, [closed(port=123)], 1030.0)
    assert (alert.detector, alert.source, str(alert.network)) == ("udp_amplification", parse_address(CLIENT), CLIENT)
    assert (alert.strength, alert.handshakes, alert.time_s) == (Strength.SPOOFABLE, None, 1030.0)
    evidence = alert.evidence
    assert (evidence.count, evidence.maxretry, evidence.sample) == (102_000, 100_000, ("udp/123",))
    assert evidence.what == "bytes of answers to small UDP requests"


@pytest.mark.parametrize(("asked", "answered", "counts"), [(1000, 7999, False), (1000, 8000, True), (60, 60, False)])
def test_only_what_is_answered_at_length_counts(asked: int, answered: int, counts: bool) -> None:
    """Seven times the request, however often, is a resolver at work; eight times is too much."""
    assert bool(feed(detector(), [closed(asked, answered)] * 100 * (8000 // answered))) is counts


def test_only_those_services_count() -> None:
    """Before or behind translation; a video call to another port may be as long as it likes."""
    assert feed(detector(), [closed(60, 10_000_000, 3478)]) == []
    assert len(feed(detector(), [closed(60, 10_000_000, 3478, real_port=53)])) == 1
    assert len(feed(detector(), [closed(60, 10_000_000, 53, real_port=3478)])) == 1


def test_only_ended_udp_flows_count() -> None:
    """Not TCP, whose handshake asks who is there; not the other signs of an end."""
    known = detector()
    assert feed(known, [closed(60, 10_000_000, protocol=6), closed(60, 10_000_000, kind=FlowReset)]) == []
    opened = [closed(60, 10_000_000, kind=FlowOpened)]
    assert list(known.feed([FlowBatch(1000.0, opened=opened, completed=opened, listed=opened)])) == []


def test_the_nodes_own_requests_do_not_count() -> None:
    """Its resolver asks the world and is answered at length: that is what it asked for, counters or not."""
    known = detector()
    own = [closed(60, 10_000_000, source=NODE, to=CLIENT), closed(None, None, source=NODE, to=CLIENT)]
    assert feed(known, own) == []
    assert known.uncounted_total == 0


def test_flows_without_counters_tell_nothing() -> None:
    """With nf_conntrack_acct off, what would have been judged is counted as unjudged, and nothing else is."""
    known = detector()
    assert feed(known, [closed(None, None), closed(60, None), closed(None, 9000), closed(None, None, 443)]) == []
    assert known.uncounted_total == 3
    assert feed(known, [closed()]) == []
    assert known.uncounted_total == 3


def test_victims_do_not_add_up() -> None:
    """A resolver with a thousand clients who each ask for a long answer now and then."""
    sources = [f"203.0.{number // 250}.{number % 250}" for number in range(1000)]
    assert feed(detector(), [closed(source=source) for source in sources] * 33) == []


def test_an_ipv6_prefix_counts_as_one() -> None:
    """Whoever forges addresses of one /64 floods the same host or network."""
    (alert,) = feed(detector(), [closed(source=f"2001:db8::{number}") for number in range(34)])
    assert (str(alert.network), alert.evidence.count) == ("2001:db8::/64", 102_000)


def test_samples_are_bounded() -> None:
    """Where every port leads to a resolver, twenty of those that were called are named."""
    (alert,) = feed(detector(), [closed(port=port, real_port=53) for port in range(1000, 1100)])
    assert len(alert.evidence.sample) == 20
