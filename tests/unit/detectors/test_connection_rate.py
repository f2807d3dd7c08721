"""Connection rate: complete connections of one source, and nothing else, count."""

from monitor.detectors.connection_rate import ConnectionRateDetector, ConnectionRateSettings
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowListed, FlowOpened
from tests.support.detectors import Samples
from tests.support.flows import CLIENT, flow, handshakes, incomplete

SAMPLES = Samples(
    ConnectionRateSettings(maxretry=3),
    fires=[FlowBatch(1000.0 + step, completed=handshakes(1, id=step)) for step in range(3)],
    quiet={
        "attempts are no connections": [
            FlowBatch(1000.0, opened=[flow(FlowOpened)] * 9, incomplete=[incomplete()] * 9)
        ],
        "connections of more than findtime": [
            FlowBatch(1000.0 + 30.0 * step, completed=handshakes(1, id=step)) for step in range(9)
        ],
    },
)


def detector() -> ConnectionRateDetector:
    """Return one that fires for a hundred within ten seconds."""
    return ConnectionRateDetector(Limits(10.0, 100))


def feed(known: ConnectionRateDetector, completed: list[Flow], time_s: float = 1000.0) -> list[Alert]:
    """Feed complete connections."""
    return list(known.feed([FlowBatch(time_s, completed=completed)]))


def test_the_hundredth_connection_fires() -> None:
    """Over several batches; the alert rests on handshakes, and says so by their key."""
    known = detector()
    assert feed(known, handshakes(60)) == []
    assert feed(known, handshakes(39), 1004.0) == []
    assert known.count(parse_address(CLIENT)) == 99
    (alert,) = feed(known, handshakes(1), 1005.0)
    assert (alert.detector, alert.source, str(alert.network)) == ("connection_rate", parse_address(CLIENT), CLIENT)
    assert (alert.time_s, alert.strength, alert.handshakes) == (1005.0, Strength.SPOOFABLE, parse_address(CLIENT))
    evidence = alert.evidence
    assert (evidence.count, evidence.maxretry, evidence.what) == (100, 100, "connections")
    assert (evidence.first_s, evidence.last_s, evidence.findtime_s) == (995.0, 1005.0, 10.0)


def test_it_fires_again_while_it_goes_on() -> None:
    """Each further hundred is told; who stops is forgotten."""
    known = detector()
    told = [len(feed(known, handshakes(50), 1000.0 + second)) for second in range(6)]
    assert told == [0, 1, 0, 1, 0, 1]
    assert feed(known, handshakes(99), 1100.0) == []


def test_only_complete_connections_count() -> None:
    """Openings, ends, listed entries and attempts that came to nothing prove no connection."""
    known = detector()
    batch = FlowBatch(
        1000.0,
        opened=[flow(FlowOpened)] * 500,
        ending=[flow(FlowClosed)] * 500,
        listed=[flow(FlowListed)] * 500,
        incomplete=[incomplete()] * 500,
        attempts=500,
        completions=500,
    )
    assert list(known.feed([batch])) == []
    assert known.count(parse_address(CLIENT)) == 0


def test_sources_do_not_add_up() -> None:
    """A busy day: a thousand clients with 99 connections each."""
    clients = [f"203.0.{number // 250}.{number % 250}" for number in range(1000)]
    assert feed(detector(), [one for client in clients for one in handshakes(1, client)] * 99) == []


def test_an_ipv6_prefix_counts_as_one() -> None:
    """The /64 is told, and one of its addresses; IPv4 and IPv6 that begin with the same bytes stay apart."""
    known = detector()
    assert feed(known, [*handshakes(99, "32.1.13.184"), *handshakes(99, "2001:db8:0:1::1")]) == []
    crowd = [one for number in range(100) for one in handshakes(1, f"2001:db8::{number}")]
    (alert,) = feed(known, crowd)
    assert (str(alert.network), alert.is_alone) == ("2001:db8::/64", False)
    assert alert.network.contains(alert.source)
    assert alert.handshakes == parse_address("2001:db8::")[:8]


def test_prefixes_may_be_switched_off() -> None:
    """With a length of 128 each address stands for itself."""
    known = ConnectionRateDetector(Limits(10.0, 100, ipv6_prefix=128))
    assert feed(known, [one for number in range(100) for one in handshakes(1, f"2001:db8::{number}")]) == []
    (alert,) = feed(known, handshakes(99, "2001:db8::1"))
    assert (str(alert.network), alert.is_alone) == ("2001:db8::1", True)


def test_what_is_remembered_is_bounded() -> None:
    """A flood of sources leaves at most as many as allowed, and the busy one among them."""
    known = ConnectionRateDetector(Limits(10.0, 100, max_entries=1024))
    feed(known, handshakes(99))
    for number in range(5000):
        assert feed(known, handshakes(1, f"203.{number >> 8}.{number & 255}.1")) == []
    assert known.stats.entries <= 1024
    assert known.stats.evicted_keys > 0
    assert len(feed(known, handshakes(1))) == 1
