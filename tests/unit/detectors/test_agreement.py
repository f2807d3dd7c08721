"""What the kernel log and connection tracking both saw is one alert, and it is known who saw how much."""

from collections.abc import Callable, Sequence

import pytest

from monitor.detectors import agreement as module
from monitor.detectors.agreement import Agreement
from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.host_sweep import HostSweepDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from monitor.detectors.probes import Probe
from monitor.model.addresses import parse_address
from tests.support.events import tcp
from tests.support.flows import CLIENT, incomplete

THRESHOLDS = Limits(600.0, 10, 1000)
PORTS = range(20, 30)
KERNEL_LOG, CONNTRACK = "kernel_log", "conntrack"


def logged(ports: Sequence[int] = PORTS, source: str = CLIENT, time_s: float = 1000.0) -> list[Probe]:
    """Return a scan as a firewall logs it."""
    return [tcp(source, port, time_s=time_s) for port in ports]


def tracked(ports: Sequence[int] = PORTS, source: str = CLIENT, time_s: float = 1000.0) -> list[Probe]:
    """Return a scan as connection tracking tells it, two seconds later."""
    return [incomplete(source, port, time_s=time_s) for port in ports]


Seen = Callable[..., list[Probe]]
BOTH_ORDERS = pytest.mark.parametrize(
    ("first", "second", "witness", "other"),
    [(logged, tracked, KERNEL_LOG, CONNTRACK), (tracked, logged, CONNTRACK, KERNEL_LOG)],
)


@BOTH_ORDERS
def test_what_both_saw_is_one_alert(first: Seen, second: Seen, witness: str, other: str) -> None:
    """Whoever comes first raises it, the other confirms it, thing by thing, and raises none."""
    detector = PortScanDetector(THRESHOLDS)
    assert len(detector.feed(first())) == 1
    assert (detector.agreements_total, detector.witnesses(parse_address(CLIENT))) == (0, {witness: 10})
    assert detector.feed(second(PORTS[:6])) == []
    assert (detector.agreements_total, detector.witnesses(parse_address(CLIENT))) == (1, {witness: 10, other: 6})
    assert detector.feed(second()) == []
    assert (detector.agreements_total, detector.witnesses(parse_address(CLIENT))) == (1, {witness: 10, other: 10})
    assert detector.count(parse_address(CLIENT)) == 0


@BOTH_ORDERS
def test_what_only_the_second_saw_counts(first: Seen, second: Seen, witness: str, other: str) -> None:
    """It confirms what is known; ten ports beside those are another offence."""
    detector = PortScanDetector(THRESHOLDS)
    detector.feed(first())
    assert detector.feed(second(range(20, 39))) == []
    assert detector.count(parse_address(CLIENT)) == 9
    assert len(detector.feed(second([39]))) == 1
    assert detector.agreements_total == 1


@BOTH_ORDERS
def test_who_goes_on_is_told_of_again(first: Seen, second: Seen, witness: str, other: str) -> None:
    """What one source of events sees again it does not confirm by itself: that is another alert."""
    detector = PortScanDetector(THRESHOLDS)
    assert [len(detector.feed(first(time_s=1000.0 + number))) for number in range(3)] == [1, 1, 1]
    assert detector.agreements_total == 0


@BOTH_ORDERS
def test_after_findtime_it_is_a_new_offence(first: Seen, second: Seen, witness: str, other: str) -> None:
    """The same scan, seen by the other source more than ten minutes after the alert, counts for itself."""
    detector = PortScanDetector(THRESHOLDS)
    detector.feed(first())
    assert len(detector.feed(second(time_s=1601.0))) == 1
    assert (detector.agreements_total, detector.witnesses(parse_address(CLIENT))) == (0, {other: 10})


@BOTH_ORDERS
def test_a_long_scan_is_many_alerts_and_one_agreement(first: Seen, second: Seen, witness: str, other: str) -> None:
    """Forty ports are four alerts, all of which the other source confirms: nothing is told twice."""
    detector = PortScanDetector(THRESHOLDS)
    assert len(detector.feed(first(range(20, 60)))) == 4
    assert detector.feed(second(range(20, 60))) == []
    assert detector.agreements_total == 1
    assert detector.witnesses(parse_address(CLIENT)) == {witness: 40, other: 40}


@BOTH_ORDERS
def test_others_are_no_witnesses_against_one(first: Seen, second: Seen, witness: str, other: str) -> None:
    """A neighbour who tries the same ports is another offender."""
    detector = PortScanDetector(THRESHOLDS)
    detector.feed(first())
    (alert,) = detector.feed(second(source="198.51.100.8"))
    assert (alert.source, detector.agreements_total) == (parse_address("198.51.100.8"), 0)


@BOTH_ORDERS
@pytest.mark.parametrize("is_alone", [True, False])
def test_an_ipv6_host_is_one_offender(first: Seen, second: Seen, witness: str, other: str, is_alone: bool) -> None:
    """One address with ten ports, or ten addresses of a /64 with a port each: one alert, which the other confirms."""
    detector = PortScanDetector(THRESHOLDS)
    sources = {port: "2001:db8::7" if is_alone else f"2001:db8::{port}" for port in PORTS}
    alerts = [alert for port in PORTS for alert in detector.feed(first([port], sources[port]))]
    assert [(str(alert.network), alert.is_alone) for alert in alerts] == [("2001:db8::/64", is_alone)]
    for port in PORTS:
        assert detector.feed(second([port], sources[port])) == []
    assert detector.agreements_total == 1
    key = parse_address("2001:db8::7")[: 16 if is_alone else 8]
    assert detector.witnesses(key) == {witness: 10, other: 10}


@pytest.mark.parametrize("has_turned", [False, True])
def test_a_sweep_is_agreed_on_too(has_turned: bool) -> None:
    """Its keys hold the port, its things are hosts; a sweep of another port is not confirmed by this one."""
    detector = HostSweepDetector(THRESHOLDS)
    first: list[Probe] = [tcp(CLIENT, 22, to=f"10.0.0.{number}") for number in range(10)]
    second: list[Probe] = [incomplete(CLIENT, 22, to=f"10.0.0.{number}") for number in range(10)]
    other_port: list[Probe] = [incomplete(CLIENT, 23, to=f"10.0.0.{number}") for number in range(10)]
    if has_turned:
        first, second = second, first
    assert len(detector.feed(first)) == 1
    assert detector.feed(second) == []
    assert set(detector.witnesses(parse_address(CLIENT)).values()) == {10}
    assert len(detector.feed(other_port)) == 1
    assert detector.agreements_total == 1


def test_ordinary_alerts_know_their_witness_only() -> None:
    """Nobody was asked about: nobody saw anything."""
    detector: DistinctDetector = PortScanDetector(THRESHOLDS)
    assert detector.witnesses(parse_address(CLIENT)) == {}
    detector.feed(logged(PORTS[:9]))
    assert detector.witnesses(parse_address(CLIENT)) == {}


def test_keys_are_bounded() -> None:
    """Of more than 1,024 the one whose alert is oldest is forgotten; an alert makes a key the newest."""
    known = Agreement(600.0)
    for number in range(module._MOST):
        known.alerted(number.to_bytes(4), (b"x",), KERNEL_LOG, 1000.0)
    known.alerted((0).to_bytes(4), (b"x",), KERNEL_LOG, 1000.0)
    known.alerted(b"more", (b"x",), KERNEL_LOG, 1000.0)
    assert len(known._seen) == module._MOST
    confirmed = [known.confirms(number.to_bytes(4), b"x", CONNTRACK, 1001.0) for number in (0, 1, 2)]
    assert confirmed == [True, False, True]
    assert known.total == 2


def test_things_are_bounded() -> None:
    """Of one key's things the last 256 are remembered."""
    known = Agreement(600.0)
    known.alerted(b"a", tuple(number.to_bytes(2) for number in range(300)), KERNEL_LOG, 1000.0)
    assert known.witnesses(b"a", (0,)) == {KERNEL_LOG: module._MOST_ITEMS} == {KERNEL_LOG: 256}
    assert not known.confirms(b"a", (43).to_bytes(2), CONNTRACK, 1000.0)
    assert known.confirms(b"a", (44).to_bytes(2), CONNTRACK, 1000.0)


def test_the_last_alert_of_an_address_is_what_is_asked_for() -> None:
    """Of two keys that begin with an address the later one's alert; keys of other lengths are others'."""
    known = Agreement(600.0)
    known.alerted(b"addr\0\0\1", (b"x",), KERNEL_LOG, 1000.0)
    known.alerted(b"addr\0\0\2", (b"x", b"y"), CONNTRACK, 1001.0)
    known.alerted(b"address", (b"z",) * 3, KERNEL_LOG, 1002.0)
    known.alerted(b"addres", (b"z",) * 3, KERNEL_LOG, 1003.0)
    assert known.witnesses(b"addr", (0,)) == {}
    assert known.witnesses(b"addr", (2,)) == {KERNEL_LOG: 1}
    assert known.witnesses(b"addr\0", (2,)) == {CONNTRACK: 2}
