"""Half-open connections: who holds many, and floods of nobody in particular. Busy servers are none."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors.half_open import HalfOpenDetector, HalfOpenSettings
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, FloodAlert, Strength
from monitor.model.flows import FlowBatch, FlowOpened
from monitor.model.protocols import PROTOCOL_UDP
from tests.support.detectors import Samples
from tests.support.flows import CLIENT, flow, handshakes, incomplete

LOOK_S = 0.01
SAMPLES = Samples(
    HalfOpenSettings(maxretry=3, total=1000),
    fires=[FlowBatch(1000.0 + step, incomplete=[incomplete()]) for step in range(3)],
    quiet={
        "attempts that are refused leave nothing open": [
            FlowBatch(1000.0, incomplete=[incomplete(was_refused=True)] * 9)
        ],
        "complete connections": [FlowBatch(1000.0, completed=handshakes(9), attempts=9, completions=9)],
        "sources do not add up": [FlowBatch(1000.0, incomplete=[incomplete(f"192.0.2.{n}")]) for n in range(1, 9)],
    },
)


def detector(*, maxretry: int = 10, total: int = 5000) -> HalfOpenDetector:
    """Return one that fires for ten of one source within ten seconds."""
    return HalfOpenDetector(Limits(10.0, maxretry), total)


def alerts_of(known: HalfOpenDetector, batch: FlowBatch) -> list[Alert]:
    """Feed, and return what it says of sources."""
    return [alert for alert in known.feed([batch]) if isinstance(alert, Alert)]


def test_attempts_that_are_given_up_after_an_answer_count_in_part() -> None:
    """Some health checks at a time do not, a flood whose source answers with RST does."""
    known = detector()
    checks = FlowBatch(1000.0, incomplete=[incomplete(was_answered=True)] * 9)
    assert alerts_of(known, checks) == []
    assert known.count(parse_address(CLIENT)) == 0
    flood = FlowBatch(1001.0, incomplete=[incomplete(was_answered=True)] * 100)
    assert len(alerts_of(known, flood)) == 1


def floods_of(known: HalfOpenDetector, batches: Iterable[FlowBatch]) -> list[FloodAlert]:
    """Feed, and return the floods."""
    return [alert for batch in batches for alert in known.feed([batch]) if isinstance(alert, FloodAlert)]


def looks(
    per_second: int, begin_s: float, duration_s: float, *, round_trip_s: float = 0.1, answered: float = 0.0
) -> Iterator[FlowBatch]:
    """Yield what looks each 10 ms tell of a steady load, of which a share completes; and of three seconds after it."""
    each, trip = round(per_second * LOOK_S), round(round_trip_s / LOOK_S)
    count = round(duration_s / LOOK_S)
    for number in range(count + 300):
        attempts = each if number < count else 0
        completions = round(each * answered) if trip <= number < count + trip else 0
        yield FlowBatch(begin_s + number * LOOK_S, attempts=attempts, completions=completions)


def test_a_source_with_many_is_told() -> None:
    """The tenth one fires, with the services that were tried; anyone could have forged it, so nothing is proven."""
    known = detector()
    ports = [80, 443]
    assert alerts_of(known, FlowBatch(1000.0, incomplete=[incomplete(port=80)] * 9)) == []
    assert known.count(parse_address(CLIENT)) == 9
    (alert,) = alerts_of(known, FlowBatch(1001.0, incomplete=[incomplete(port=port) for port in ports]))
    assert (alert.detector, alert.source, str(alert.network)) == ("half_open", parse_address(CLIENT), CLIENT)
    assert (alert.strength, alert.handshakes, alert.is_alone) == (Strength.SPOOFABLE, None, True)
    evidence = alert.evidence
    assert (evidence.count, evidence.maxretry, evidence.what) == (11, 10, "half-open connections")
    assert evidence.sample == ("tcp/80", "tcp/443")


def test_refused_attempts_leave_nothing_open() -> None:
    """A proxy in front of a dead server tries a thousand times, and is refused each time: nothing is told of it."""
    known = detector()
    assert alerts_of(known, FlowBatch(1000.0, incomplete=[incomplete(was_refused=True)] * 1000)) == []
    assert known.count(parse_address(CLIENT)) == 0


def test_sources_do_not_add_up() -> None:
    """A thousand sources with nine each are no one's offence; the tenth of one of them is only its own."""
    known = detector()
    many = [incomplete(f"203.0.{number // 250}.{number % 250}") for number in range(1000)] * 9
    assert alerts_of(known, FlowBatch(1000.0, incomplete=many)) == []
    (alert,) = alerts_of(known, FlowBatch(1001.0, incomplete=[incomplete("203.0.2.7")]))
    assert str(alert.network) == "203.0.2.7"


def test_an_ipv6_prefix_counts_as_one() -> None:
    """Ten addresses of one /64 fire for that /64; IPv4 and other prefixes that begin with the same bytes do not add."""
    known = detector()
    strangers = ["32.1.13.184", "2001:db8:0:1::1"]
    prefix = [f"2001:db8::{number}" for number in range(10)]
    sources = [incomplete(source) for source in strangers * 5 + prefix[:9]]
    assert alerts_of(known, FlowBatch(1000.0, incomplete=sources)) == []
    (alert,) = alerts_of(known, FlowBatch(1001.0, incomplete=[incomplete(prefix[9])]))
    assert (str(alert.network), alert.source, alert.is_alone) == ("2001:db8::/64", parse_address(prefix[9]), False)


def test_samples_are_bounded() -> None:
    """Of a hundred services twenty are named."""
    (alert,) = alerts_of(detector(), FlowBatch(1000.0, incomplete=[incomplete(port=port) for port in range(100)]))
    assert len(alert.evidence.sample) == 20


def test_a_flood_has_a_name() -> None:
    """Forged sources are nobody's, but what they hit is told: service, address, how many, and from how many."""
    known = detector()
    opened = [flow(FlowOpened, f"203.0.{number % 200}.1", 443, to="192.0.2.80") for number in range(1200)]
    opened += [flow(FlowOpened, port=22) for _ in range(100)]
    assert list(known.feed([FlowBatch(1000.0, opened=opened, attempts=6000)])) == []
    (alert,) = known.feed([FlowBatch(1000.5)])
    assert isinstance(alert, FloodAlert)
    assert (alert.detector, alert.target) == ("half_open", "tcp/443 of 192.0.2.80")
    assert str(alert) == (
        "6000 half-open connections (201 sources in the last 1024 flows) within 2 s, mostly to tcp/443 of 192.0.2.80"
    )


def test_a_flood_is_not_named_by_what_has_no_handshake() -> None:
    """A resolver is asked ten times as often as the web server is flooded: the flood is the web server's."""
    known = detector()
    queries = [flow(FlowOpened, port=53, protocol=PROTOCOL_UDP)] * 10_000
    first_packets = [flow(FlowOpened, port=443)] * 1000
    opened = [*first_packets, *queries]
    (flood,) = floods_of(known, [FlowBatch(1000.0, opened=opened, attempts=6000), FlowBatch(1001.0)])
    assert flood.target == "tcp/443 of 192.0.2.1"


def test_a_flood_that_nothing_is_known_of_is_told_all_the_same() -> None:
    """Where the openings themselves were lost, what it hits is unknown."""
    (flood,) = floods_of(detector(), [FlowBatch(1000.0, attempts=6000), FlowBatch(1001.0)])
    assert flood.target == "unknown of an unknown address"


@pytest.mark.parametrize("has_gap", [False, True])
def test_a_flood_is_told_every_ten_seconds(has_gap: bool) -> None:
    """25 seconds of it are told three times, whether or not events are lost beside it."""
    batches = list(looks(10_000, 1000.0, 25.0))
    for batch in batches:
        batch.has_gap = has_gap
    told = floods_of(detector(), batches)
    assert [round(later.time_s - one.time_s, 2) for one, later in pairwise(told)] == [10.0, 10.0]
    assert 1000.0 < told[0].time_s <= 1002.5


@pytest.mark.parametrize("per_second", [2_000, 3_000])
def test_the_total_is_that_of_two_seconds(per_second: int) -> None:
    """Of a limit of 5,000, 2,000 a second stay below it however long they last, 3,000 do not."""
    assert bool(floods_of(detector(), looks(per_second, 1000.0, 20.0))) is (per_second > 2_500)


@pytest.mark.parametrize("round_trip_s", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("answered", [1.0, 0.9])
def test_a_busy_server_is_no_flood(round_trip_s: float, answered: float) -> None:
    """50,000 connections a second that begin all at once and end all at once: completed ones are the greater part."""
    load = looks(50_000, 1000.0, 5.0, round_trip_s=round_trip_s, answered=answered)
    assert floods_of(detector(), load) == []


def test_a_flood_beside_a_busy_server_is_one() -> None:
    """Where a third of all attempts is completed, the rest is the greater part."""
    load = list(looks(60_000, 1000.0, 5.0, answered=1 / 3))
    (flood,) = floods_of(detector(), load)
    assert flood.evidence.count > 5000


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(0, 4))
def test_what_is_completed_within_half_a_second_is_never_a_flood(attempts: list[int], round_trip: int) -> None:
    """However unevenly it comes, and were the limit a single one."""
    known = detector(total=1)
    for number in range(len(attempts) + 40):
        begun = attempts[number] if number < len(attempts) else 0
        completed = attempts[number - round_trip] if round_trip <= number < len(attempts) + round_trip else 0
        assert floods_of(known, [FlowBatch(1000.0 + number / 10, attempts=begun, completions=completed)]) == []


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_what_is_never_completed_is_always_told(attempts: list[int]) -> None:
    """Without any completion it is told as soon as so many attempts lie within two seconds, half a second later."""
    known, told = detector(total=100), False
    attempts = attempts + [0] * 5
    for number, begun in enumerate(attempts):
        told |= bool(floods_of(known, [FlowBatch(1000.0 + number * 0.5, attempts=begun)]))
        within = [sum(attempts[max(0, last - 3) : last + 1]) for last in range(number)]
        assert told is (max(within, default=0) >= 100)


def test_a_clock_set_back_silences_nothing() -> None:
    """An hour back, what was counted is gone with its time, and a flood that goes on is told of at once."""
    known = detector()
    assert len(floods_of(known, looks(10_000, 5000.0, 5.0))) == 1
    (flood,) = floods_of(known, looks(10_000, 1400.0, 5.0))
    assert 1400.0 < flood.time_s <= 1402.5


def test_a_clock_set_back_leaves_no_remainder() -> None:
    """What was counted before the step neither adds to what comes afterwards nor is taken off it."""
    known = detector()
    assert floods_of(known, [FlowBatch(5000.0, attempts=4000), FlowBatch(5001.0, attempts=4000)]) == []
    assert floods_of(known, looks(2000, 1000.0, 20.0)) == []
    assert len(floods_of(known, looks(3000, 1100.0, 5.0))) == 1


def test_a_clock_far_ahead_forgets_what_was_before() -> None:
    """4,000 before the step and 4,000 after it are not 8,000 within two seconds."""
    known = detector()
    batches = [FlowBatch(time_s, attempts=attempts) for time_s, attempts in ((1.0, 4000), (9e8, 4000), (9e8 + 1, 0))]
    assert floods_of(known, batches) == []
