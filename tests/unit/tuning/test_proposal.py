"""Proposed thresholds spare known-good sources and find the offenders, or there is none and the reason is given."""

from collections.abc import Sequence

import msgspec
import pytest

from monitor.daemon.tuning.grid import Grid, Point
from monitor.daemon.tuning.proposal import Confidence, Judge, Seen, Tuning, tune
from monitor.daemon.tuning.sweep import Reached, Sweep, sweep_of
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import build
from monitor.model.addresses import host
from tests.support.fortnight import DAY_S, Fortnight, fortnight

_WEEK = Seen(7 * DAY_S)
_GRID = Grid((600.0, 3600.0), (3, 5, 10, 20), Point(600.0, 5))


def _swept(labelled: Fortnight) -> Sweep:
    section = FailuresSettings(filter="sshd")
    sweep = sweep_of(
        build("sshd", section, DetectorContext()), section, lambda one: build("sshd", one, DetectorContext())
    )
    sweep.feed(labelled.failures)
    return sweep


def _judge(labelled: Fortnight) -> Judge:
    good = labelled.clients | labelled.monitors
    return lambda network: "client" if network.address in good else ""


def test_a_labelled_week_yields_a_point_that_hits_nobody_known_good_and_finds_the_offenders() -> None:
    """Slow and fast offenders among clients that mistype and probes that never stop; today's values hit many."""
    labelled = fortnight(days=7, clients=400, monitors=4)
    sweep = _swept(labelled)
    tuning = tune(sweep.grid, sweep.sources(), _judge(labelled), _WEEK)
    assert tuning.today.good > 0
    assert tuning.proposal is not None
    place = sweep.grid.findtimes_s.index(tuning.proposal.point.findtime_s)
    threshold = sweep.grid.maxretries.index(tuning.proposal.point.maxretry)
    found = {one.source for one in sweep.sources() if one.is_found(place, threshold)}
    assert not found & (labelled.clients | labelled.monitors)
    assert len(found & labelled.offenders) >= 0.95 * len(labelled.offenders)
    assert not found - labelled.offenders, "new clients are no offenders"


def _reached(count: int, *most: int, first: int = 0) -> list[Reached]:
    """Return sources that reach these counts, one for each `findtime` of the grid."""
    masks = tuple(sum(1 << place for place, one in enumerate(_GRID.maxretries) if one <= count) for count in most)
    addresses = [bytes((10, first, 0, number)) for number in range(count)]
    return [Reached(address, host(address), masks) for address in addresses]


def _good(network: object) -> str:
    return "internal" if str(network).startswith("10.1.") else ""


def _tuned(reached: Sequence[Reached], seen: Seen = _WEEK) -> Tuning:
    return tune(_GRID, reached, _good, seen)


def test_every_source_is_counted_once_at_each_point() -> None:
    """Scores are sums over sources, of offenders and of known-good ones apart."""
    tuning = _tuned([*_reached(4, 12, 30), *_reached(3, 3, 5, first=1)])
    found = {one.point: (one.offenders, one.good) for one in tuning.scores}
    assert found[Point(600.0, 3)] == (4, 3)
    assert found[Point(600.0, 5)] == (4, 0)
    assert found[Point(600.0, 20)] == (0, 0)
    assert found[Point(3600.0, 5)] == (4, 3)
    assert found[Point(3600.0, 20)] == (4, 0)
    assert (tuning.offenders, tuning.good) == (4, 3)


def test_values_that_are_good_as_they_are_stay() -> None:
    """Where today's point is among the best, it is the proposal: no change for its own sake."""
    tuning = _tuned([*_reached(30, 20, 20), *_reached(30, 0, 0, first=1)])
    assert tuning.is_today_best


def test_a_known_good_source_that_is_hit_moves_the_point_away_from_it() -> None:
    """The proposal hits nobody, keeps its distance, and names who is hit today."""
    tuning = _tuned([*_reached(30, 20, 20), *_reached(2, 5, 5, first=1)])
    assert [str(one.network) for one in tuning.hits] == ["10.1.0.0", "10.1.0.1"]
    assert tuning.proposal is not None
    assert tuning.proposal.point == Point(600.0, 10)
    assert tuning.confidence is Confidence.LOW, "two known-good sources are little to go by"


def test_stricter_values_need_known_good_sources_that_stayed_below() -> None:
    """Nobody is banned sooner because the history has none that a stricter threshold could hit."""
    offenders = _reached(30, 3, 3)
    alone = _tuned([*offenders, *_reached(5, 20, 20, first=2)])
    assert alone.proposal is not None
    assert alone.is_today_best
    assert any("stricter values are not proposed" in one for one in alone.reasons)


@pytest.mark.parametrize(
    ("reached", "seen", "reason"),
    [
        (_reached(30, 20, 20), Seen(3600.0), "too little history: 1.0 h"),
        (_reached(2, 20, 20), _WEEK, "too little history: at most 2 offenders are found"),
        ([], _WEEK, "too little history: no offender is found"),
        ([*_reached(30, 20, 20), *_reached(30, 20, 20, first=1)], _WEEK, "known-good sources are hit at every point"),
    ],
)
def test_no_proposal_without_grounds(reached: list[Reached], seen: Seen, reason: str) -> None:
    """Where the history does not tell, nothing is proposed, and the reason is given."""
    tuning = _tuned(reached, seen)
    assert tuning.proposal is None
    assert tuning.confidence is None
    assert any(reason in one for one in tuning.reasons)


def test_a_history_that_is_cut_short_or_incomplete_lowers_the_confidence() -> None:
    """What bans and gaps keep out of the history is said, and believed less."""
    reached = [*_reached(30, 10, 10), *_reached(30, 0, 0, first=1)]
    assert _tuned(reached).confidence is Confidence.HIGH
    for name, confidence in (("is_cut_short", Confidence.MEDIUM), ("is_incomplete", Confidence.LOW)):
        tuning = _tuned(reached, msgspec.structs.replace(_WEEK, **{name: True}))
        assert tuning.confidence is confidence
        assert len(tuning.reasons) > len(_tuned(reached).reasons)
