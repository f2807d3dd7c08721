"""How close the busiest source came to the threshold: for every kind of detector, and only of who can be banned."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.types import PortRange
from monitor.detectors.connection_rate import ConnectionRateDetector
from monitor.detectors.detector import Detector
from monitor.detectors.drop_rate import DropRateDetector
from monitor.detectors.egress import EgressDetector
from monitor.detectors.failures import FailuresDetector
from monitor.detectors.half_open import HalfOpenDetector
from monitor.detectors.host_sweep import HostSweepDetector
from monitor.detectors.limits import Limits
from monitor.detectors.open_connections import OpenConnectionsDetector
from monitor.detectors.port_scan import PortScanDetector
from monitor.detectors.protected_port import ProtectedPortDetector, ProtectedServiceSettings
from monitor.detectors.syn_rate import SynRateDetector
from monitor.detectors.udp_amplification import UdpAmplificationDetector
from monitor.detectors.udp_rate import UdpRateDetector
from monitor.model.addresses import parse_address, parse_network
from monitor.model.events import DROP_CLASSES, DropsObserved, SenderObserved
from monitor.model.flows import FlowBatch, FlowClosed, FlowOpened
from monitor.model.networks import Networks, Surrounding
from monitor.model.protocols import PROTOCOL_UDP
from monitor.model.rates import RateWindow
from monitor.model.window import DistinctWindow
from tests.support.events import failure, tcp
from tests.support.flows import CLIENT, NODE, flow, handshakes, incomplete

LIMITS = Limits(60.0, 10)
PROBES = Limits(60.0, 10, 1000)
OWN6 = "2001:db8::1"
SURROUNDING = Surrounding(
    own=frozenset({parse_address(NODE), parse_address(OWN6)}),
    protected=Networks([parse_network(NODE), parse_network(OWN6), parse_network("10.0.0.0/8")]),
)


def _packets(count: int) -> tuple[int, ...]:
    return (count, *(0 for _ in DROP_CLASSES[1:]))


def _amplified(source: str, count: int) -> FlowBatch:
    answered = flow(
        FlowClosed, source, 53, protocol=PROTOCOL_UDP, original_packets=1, original_bytes=1, reply_packets=1,
        reply_bytes=count,
    )  # fmt: skip
    return FlowBatch(1000.0, ending=[answered])


FLOWS: list[tuple[Callable[[], Detector[FlowBatch]], Callable[[str, int], FlowBatch]]] = [
    (lambda: HalfOpenDetector(LIMITS, 1000), lambda who, n: FlowBatch(1000.0, incomplete=[incomplete(who)] * n)),
    (lambda: ConnectionRateDetector(LIMITS), lambda who, n: FlowBatch(1000.0, completed=handshakes(n, who))),
    (lambda: OpenConnectionsDetector(LIMITS), lambda who, n: FlowBatch(1000.0, completed=handshakes(n, who))),
    (lambda: UdpAmplificationDetector(LIMITS, [53], 1.0), _amplified),
]
"""Detectors that count by source, and what gives a source a count."""

OTHERS: list[tuple[Any, Callable[[int], Iterable[Any]]]] = [
    (lambda: PortScanDetector(PROBES), lambda n: [tcp(CLIENT, port) for port in range(1, n + 1)]),
    (
        lambda: HostSweepDetector(PROBES),
        lambda n: [tcp(CLIENT, 22, to=f"192.0.2.{host}") for host in range(n)],
    ),
    (lambda: FailuresDetector("sshd", Limits(60.0, 10, 1000)), lambda n: [failure(CLIENT)] * n),
    (lambda: DropRateDetector(LIMITS), lambda n: [DropsObserved(1000.0, parse_address(CLIENT), _packets(n))]),
    (lambda: SynRateDetector(LIMITS), lambda n: [SenderObserved(1000.0, parse_address(CLIENT), n, 0)]),
    (lambda: UdpRateDetector(LIMITS), lambda n: [SenderObserved(1000.0, parse_address(CLIENT), 0, n)]),
]


@pytest.mark.parametrize(("make", "batch"), FLOWS)
@pytest.mark.parametrize("count", [4, 10])
def test_flows_of_the_busiest_are_told(make: Any, batch: Any, count: int) -> None:
    """Four of ten are four; ten cross the threshold and are still told of, though the source begins anew."""
    known = make()
    list(known.feed([batch(CLIENT, count)]))
    assert known.stats.busiest == count


@pytest.mark.parametrize(("make", "events"), OTHERS)
@pytest.mark.parametrize("count", [1, 4, 10])
def test_other_events_of_the_busiest_are_told(make: Any, events: Any, count: int) -> None:
    """The same of packets, failures, drops and senders."""
    known = make()
    list(known.feed(events(count)))
    assert known.stats.busiest == count


@pytest.mark.parametrize(("make", "batch"), FLOWS)
@pytest.mark.parametrize("sheltered", [NODE, "10.1.2.3", OWN6])
def test_who_is_never_banned_is_no_measure(make: Any, batch: Any, sheltered: str) -> None:
    """A node's own pods may well be its busiest clients: beside them the busiest stranger counts, in either order."""
    for order in ((sheltered, CLIENT), (CLIENT, sheltered), (sheltered, sheltered, CLIENT)):
        known = make()
        known.follow(SURROUNDING)
        for number, source in enumerate(order):
            one = batch(source, 3 if source == CLIENT else 9)
            one.completed = [msgspec.structs.replace(each, id=each.id + 100 * number) for each in one.completed]
            list(known.feed([one]))
        assert known.stats.busiest == 3


def test_one_forbidden_connection_is_the_threshold() -> None:
    """Detectors that need no second time tell 1 of 1 as soon as there was one, and 0 before."""
    ports = ProtectedPortDetector(
        Limits(60.0, 1), {"etcd": ProtectedServiceSettings(ports=(PortRange(2379, 2379),), networks=())}
    )
    egress = EgressDetector(Limits(60.0, 1), [parse_network("198.18.0.0/15")], [])
    for known in (ports, egress):
        known.follow(SURROUNDING)
    list(ports.feed([FlowBatch(1000.0, completed=handshakes(3, "10.1.2.3", 2379))]))
    list(egress.feed([FlowBatch(1000.0, opened=[flow(FlowOpened, NODE, 443, to="198.18.0.1")])]))
    assert (ports.stats.busiest, egress.stats.busiest) == (0, 0)
    list(ports.feed([FlowBatch(1000.0, completed=handshakes(1, CLIENT, 2379))]))
    list(egress.feed([FlowBatch(1000.0, opened=[flow(FlowOpened, NODE, 443, to=CLIENT)])]))
    assert (ports.stats.busiest, egress.stats.busiest) == (1, 1)


def test_it_is_told_for_one_to_two_minutes() -> None:
    """What was highest outlives one turn, not two; open connections count as long as they are open."""
    rate, held = ConnectionRateDetector(LIMITS), OpenConnectionsDetector(LIMITS)
    for known in (rate, held):
        known.follow(SURROUNDING)
        list(known.feed([FlowBatch(1000.0, completed=[*handshakes(5), *handshakes(8, NODE, id=50)])]))
    told = []
    for minute in range(1, 4):
        for known in (rate, held):
            known.stats.turn()
            list(known.feed([FlowBatch(1000.0 + 60.0 * minute)]))
        told.append((rate.stats.busiest, held.stats.busiest))
    assert told == [(5, 5), (0, 5), (0, 5)]
    list(held.feed([FlowBatch(1300.0, ending=[flow(FlowClosed, id=number) for number in range(1, 4)])]))
    for _ in range(2):
        held.stats.turn()
        list(held.feed([FlowBatch(1400.0)]))
    assert held.stats.busiest == 2


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 9), st.integers(0, 20))))
def test_the_window_tells_its_highest_count(steps: list[tuple[bytes, int, int]]) -> None:
    """Whatever comes and goes: the highest that any key had, crossings included."""
    window, now_s, highest = DistinctWindow(findtime_s=60.0, maxretry=5, max_entries=100), 1000.0, 0
    for key, item, later_s in steps:
        now_s += later_s
        crossing = window.add(key, bytes([item]), now_s)
        highest = max(highest, len(crossing.items) if crossing else window.count(key))
        assert window.stats.busiest == highest


@given(st.lists(st.dictionaries(st.sampled_from([b"a", b"b", b"never"]), st.integers(1, 9), min_size=1), min_size=1))
def test_the_rate_tells_its_highest_count(steps: list[dict[bytes, int]]) -> None:
    """Of all keys but those that are left out, whichever come together."""
    rates, highest = RateWindow(findtime_s=60.0, maxretry=12, max_entries=100), 0.0
    rates.leaves_out = b"never".__eq__
    for counts in steps:
        told = dict(rates.add(counts, 1000.0))
        reached = [told.get(key, rates.count(key)) for key in counts if key != b"never"]
        highest = max(highest, *reached, 0.0)
        assert rates.stats.busiest == highest
