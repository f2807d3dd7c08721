"""Open connections: who holds many at a time, whatever the order in which they open and end."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors.limits import Limits
from monitor.detectors.open_connections import OpenConnectionsDetector, OpenConnectionsSettings
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowEstablished, FlowListed, FlowReset
from monitor.model.protocols import TCP_FIN_WAIT
from tests.support.detectors import Samples
from tests.support.flows import CLIENT, flow, handshakes

SOURCES = (CLIENT, "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "32.1.13.184")
ORIGINS = (CLIENT, "2001:db8::ffff", "2001:db8::ffff", "2001:db8:0:1::ffff", "32.1.13.184")
ENDED = [flow(FlowClosed, id=number) for number in range(20)]
NUMBERS = st.lists(st.integers(0, 19), max_size=8)
SAMPLES = Samples(
    OpenConnectionsSettings(maxretry=3),
    fires=[FlowBatch(1000.0 + step, completed=handshakes(1, id=step)) for step in range(3)],
    quiet={
        "connections that end in time": [
            FlowBatch(1000.0 + step, completed=handshakes(2, id=step), ending=ENDED[: step + 1]) for step in range(9)
        ],
        "sources do not add up": [
            FlowBatch(1000.0, completed=handshakes(2, f"192.0.2.{n}", id=10 * n)) for n in range(1, 9)
        ],
    },
)


def detector(*, maxretry: int = 10, max_entries: int = 1000) -> OpenConnectionsDetector:
    """Return one that fires for ten at a time, and again after a minute."""
    return OpenConnectionsDetector(Limits(60.0, maxretry, max_entries))


def feed(known: OpenConnectionsDetector, time_s: float = 1000.0, **more: Any) -> list[Alert]:
    """Feed one batch."""
    return list(known.feed([FlowBatch(time_s, **more)]))


def ends(count: int, source: str = CLIENT, first: int = 1) -> list[Flow]:
    """Return the ends of as many connections as `handshakes` makes."""
    return [flow(FlowClosed, source, id=number) for number in range(first, first + count)]


def test_the_tenth_at_a_time_fires() -> None:
    """Not nine, however often they come and go; the alert rests on handshakes and says whose."""
    known = detector()
    for _ in range(10):
        assert feed(known, completed=handshakes(9)) == []
        assert known.count(parse_address(CLIENT)) == 9
        assert feed(known, ending=ends(9)) == []
        assert known.count(parse_address(CLIENT)) == 0
    feed(known, completed=handshakes(9))
    (alert,) = feed(known, 1001.0, completed=handshakes(1, id=10))
    assert (alert.detector, alert.source, alert.time_s) == ("open_connections", parse_address(CLIENT), 1001.0)
    assert (alert.strength, alert.handshakes) == (Strength.SPOOFABLE, parse_address(CLIENT))
    assert (alert.evidence.count, alert.evidence.what) == (10, "connections open at a time")


def test_who_goes_on_is_told_of_again_after_findtime() -> None:
    """Forty more connections, one every five seconds, are four alerts."""
    known = detector()
    told = [feed(known, 1000.0 + 5 * number, completed=handshakes(1, id=number)) for number in range(50)]
    assert [alert.time_s for alerts in told for alert in alerts] == [1045.0, 1105.0, 1165.0, 1225.0]


def test_who_left_and_comes_back_is_told_of_at_once() -> None:
    """Once all are closed a new crowd is a new offence; once the clock was set back, too."""
    known = detector()
    assert len(feed(known, completed=handshakes(10))) == 1
    feed(known, 1001.0, ending=ends(10))
    assert len(feed(known, 1002.0, completed=handshakes(10))) == 1
    assert feed(known, 1003.0, completed=handshakes(1, id=11)) == []
    assert len(feed(known, 500.0, completed=handshakes(1, id=12))) == 1


def test_every_sign_of_an_end_counts_once() -> None:
    """Hanging up, a reset and the entry's end are told of one connection: the nine others stay."""
    known = detector()
    feed(known, completed=handshakes(9))
    hung_up = flow(FlowEstablished, id=1, state=TCP_FIN_WAIT)
    for sign in (hung_up, flow(FlowReset, id=1), flow(FlowClosed, id=1), flow(FlowClosed, id=77)):
        feed(known, ending=[sign, sign])
        assert known.count(parse_address(CLIENT)) == 8


def test_what_ended_in_the_same_look_was_never_open() -> None:
    """A thousand short connections between two looks are none at a time."""
    assert feed(detector(), completed=handshakes(1000), ending=ends(1000)) == []


def test_entries_are_told_apart() -> None:
    """The kernel's number is used again: with another source port or namespace it is another connection."""
    known = detector()
    feed(known, completed=[*handshakes(1), *handshakes(1, source_port=1), *handshakes(1, namespace=3)])
    feed(known, completed=handshakes(1), listed=[flow(FlowListed, id=1)])
    assert known.count(parse_address(CLIENT)) == 3


def test_after_a_gap_the_list_brings_back_what_is_left() -> None:
    """Ends may have been lost, so all is forgotten; what the table still holds counts, and is not told of twice."""
    known = detector()
    assert len(feed(known, completed=handshakes(20))) == 1
    feed(known, 1001.0, has_gap=True)
    assert (known.count(parse_address(CLIENT)), known.stats.entries) == (0, 0)
    listed = [flow(FlowListed, id=number) for number in range(1, 16)]
    assert feed(known, 1002.0, listed=listed) == []
    assert known.count(parse_address(CLIENT)) == 15
    assert len(feed(known, 1060.0, completed=handshakes(1, id=30))) == 1


def test_gaps_do_not_let_memory_grow() -> None:
    """Whom it told of is forgotten after findtime, or once that lies in the future: the clock was set back."""
    known = detector()
    for number in range(200):
        assert len(feed(known, 1000.0 - number, completed=handshakes(10, f"203.0.113.{number}"))) == 1
        list(known.feed([FlowBatch(1000.0 - number - 0.5, has_gap=True)]))
    assert len(known._reported_s) == 0
    for number in range(200):
        feed(known, 1000.0 + number, completed=handshakes(10, f"203.0.113.{number}"))
        list(known.feed([FlowBatch(1000.0 + number + 0.5, has_gap=True)]))
    assert len(known._reported_s) == 60


def test_what_is_followed_is_bounded() -> None:
    """Of more, the oldest of who has most are forgotten and counted; the end of one of these changes nothing."""
    known = detector(maxretry=40, max_entries=50)
    feed(known, completed=handshakes(5))
    feed(known, completed=handshakes(48, "203.0.113.1", id=100))
    assert (known.stats.entries, known.stats.evicted_keys) == (50, 3)
    assert [known.count(parse_address(source)) for source in (CLIENT, "203.0.113.1")] == [5, 45]
    feed(known, ending=[*ends(5), *(flow(FlowClosed, "203.0.113.1", id=number) for number in (100, 101, 102))])
    assert (known.stats.entries, known.count(parse_address(CLIENT))) == (45, 0)
    assert (len(known._counts), len(known._open)) == (1, 45)


class Step(msgspec.Struct):
    """One look: numbers of connections, whose sources follow from these."""

    completed: list[int]
    listed: list[int]
    ending: list[int]
    has_gap: bool
    after_s: int


STEPS = st.lists(st.builds(Step, NUMBERS, NUMBERS, NUMBERS, st.sampled_from([False] * 5 + [True]), st.integers(0, 40)))


@given(STEPS)
def test_it_is_a_set_of_connections(steps: list[Step]) -> None:
    """Held against a set by origin: after any look counts agree, and an alert comes just where the set calls for it."""
    known, time_s = detector(maxretry=3), 1000.0
    are_open: set[int] = set()
    told_s: dict[str, float] = {}
    for step in steps:
        time_s += step.after_s
        expected = _take(are_open, told_s, step, time_s)
        kinds = {"completed": FlowEstablished, "listed": FlowListed, "ending": FlowClosed}
        lists = {
            name: [flow(kind, SOURCES[number % 5], id=number) for number in getattr(step, name)]
            for name, kind in kinds.items()
        }
        alerts = feed(known, time_s, has_gap=step.has_gap, **lists)
        assert [alert.handshakes for alert in alerts] == [_key(origin) for origin in expected]
        for origin in ORIGINS:
            assert known.count(parse_address(origin)) == _count(are_open, origin)
        assert known.stats.entries == len(are_open)
        assert known._counts.keys() == {_key(ORIGINS[number % 5]) for number in are_open}


def _take(are_open: set[int], told_s: dict[str, float], step: Step, time_s: float) -> list[str]:
    """Do to a set what a look says; return the origins that are to be told of."""
    if step.has_gap:
        are_open.clear()
    else:
        held = {origin for origin in ORIGINS if _count(are_open, origin)}
        are_open -= set(step.ending)
        for origin in held:
            if not _count(are_open, origin):
                told_s.pop(origin, None)
    expected = []
    for number in (*step.completed, *step.listed):
        if number in are_open or number in step.ending:
            continue
        are_open.add(number)
        origin = ORIGINS[number % 5]
        if _count(are_open, origin) >= 3 and time_s - told_s.get(origin, -1e9) >= 60.0:
            told_s[origin] = time_s
            expected.append(origin)
    return expected


def _count(are_open: set[int], origin: str) -> int:
    return sum(ORIGINS[number % 5] == origin for number in are_open)


def _key(origin: str) -> bytes:
    address = parse_address(origin)
    return address if len(address) == 4 else address[:8]


def test_a_network_that_fills_the_table_pushes_out_itself() -> None:
    """A /48 that opens ever more connections, each /64 below the threshold: a slow attack beside it is found."""
    detector = OpenConnectionsDetector(Limits(60.0, 100, 1024))
    assert detector.feed([FlowBatch(1000.0, completed=handshakes(60, id=1))]) == []
    for number in range(5000):
        crowd = handshakes(1, f"2001:db8:7:{number // 50:x}::1", id=1000 + number)
        assert detector.feed([FlowBatch(1001.0, completed=crowd)]) == []
    assert (detector.count(parse_address(CLIENT)), detector.stats.entries) == (60, 1024)
    (alert,) = detector.feed([FlowBatch(1002.0, completed=handshakes(40, id=100))])
    assert alert.evidence.count == 100
