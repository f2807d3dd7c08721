"""What a sweep says: at each point how many offenders are found and how many known-good sources hit; and a proposal.

The proposal is found in three steps, each of which can be checked in the table:

1. Only points at which no known-good source is hit.
2. Of those, only points that find nearly as many offenders as the best of them.
3. Of those, the point that keeps the greatest distance from the known-good sources, up to twice what they reach: it is
   for those that come a little closer next week. Of equal ones, the nearest to the values in force.

Where the history is too short to tell, there is no proposal: a wrong ban costs more than a week of waiting. For the
same reason stricter values than today's need known-good sources that the detector counted and that stayed below.

Pure.
"""

import enum
import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from monitor.daemon.tuning.grid import Grid, Point
from monitor.daemon.tuning.sweep import Reached
from monitor.model.addresses import Network

Judge = Callable[[Network], str]
"""Returns why a source is known-good; empty where it is not."""

LEAST_HISTORY_S = 86_400.0
LEAST_OFFENDERS = 3
LEAST_GOOD = 20
"""Known-good sources that the detector must have counted before stricter values than today's are proposed."""
_NEARLY_ALL = 0.98
_GREAT_DISTANCE = 2.0
_HOUR_S = 3600.0
_DAY_S = 86_400.0


class Confidence(enum.StrEnum):
    """How far the history carries the proposal."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


_BOUNDS = ((Confidence.HIGH, 7 * _DAY_S, 10, 20, 1.5), (Confidence.MEDIUM, 3 * _DAY_S, 5, 5, 1.2))
"""Least history in seconds, offenders, known-good sources that were counted, and distance."""


class Score(msgspec.Struct, frozen=True):
    """What a point does: offenders that it finds, and known-good sources that it hits."""

    point: Point
    offenders: int
    good: int
    distance: float
    """The threshold divided by the highest one that a known-good source reaches within `findtime`; at most 2."""


class Hit(msgspec.Struct, frozen=True):
    """A known-good source that the values in force hit, and why it is known-good."""

    network: Network
    reason: str


class Seen(msgspec.Struct, frozen=True):
    """What the history is like."""

    span_s: float
    is_cut_short: bool = False
    """Whether the detector enforced: what sources would have done after their bans is not in the history."""
    is_incomplete: bool = False
    """Whether evidence was lost: gaps, floods, or sources forgotten for lack of room."""


class Tuning(msgspec.Struct, frozen=True):
    """The scores of all points, those of today, and the proposal with its reasons."""

    grid: Grid
    scores: tuple[Score, ...]
    today: Score
    offenders: int
    """Sources that are not known-good and that some point finds."""
    good: int
    """Known-good sources that the detector counted."""
    hits: tuple[Hit, ...]
    """Known-good sources that the values in force hit."""
    proposal: Score | None
    """None: see `reasons`."""
    confidence: Confidence | None
    reasons: tuple[str, ...]
    """Sentences."""

    @property
    def is_today_best(self) -> bool:
        """Whether the values in force are what is proposed."""
        return self.proposal is not None and self.proposal.point == self.grid.today


def tune(grid: Grid, reached: Iterable[Reached], judge: Judge, seen: Seen) -> Tuning:
    """Score all points, and propose one."""
    good: list[Reached] = []
    others: list[Reached] = []
    hits = []
    place, threshold = grid.findtimes_s.index(grid.today.findtime_s), grid.maxretries.index(grid.today.maxretry)
    for one in reached:
        reason = judge(one.network)
        (good if reason else others).append(one)
        if reason and one.is_found(place, threshold):
            hits.append(Hit(one.network, reason))
    scores = tuple(_scores(grid, good, others))
    today = next(one for one in scores if one.point == grid.today)
    counts = _Counts(sum(any(one.masks) for one in others), len(good), len(hits))
    proposal, reasons = _propose(scores, today, counts, seen)
    confidence = None if proposal is None else _confidence(proposal, counts, seen)
    if proposal is not None:
        reasons += _doubts(counts, seen)
    found = counts.offenders, counts.good, tuple(hits)
    return Tuning(grid, scores, today, *found, proposal, confidence, tuple(reasons))


class _Counts(msgspec.Struct, frozen=True):
    offenders: int
    good: int
    hits: int


def _scores(grid: Grid, good: Sequence[Reached], others: Sequence[Reached]) -> Iterable[Score]:
    for place, findtime_s in enumerate(grid.findtimes_s):
        most = max((grid.maxretries[one.masks[place].bit_length() - 1] for one in good if one.masks[place]), default=0)
        found, hit = (_by_threshold(sources, place, len(grid.maxretries)) for sources in (others, good))
        for number, maxretry in enumerate(grid.maxretries):
            distance = min(_GREAT_DISTANCE, maxretry / most) if most else _GREAT_DISTANCE
            yield Score(Point(findtime_s, maxretry), found[number], hit[number], distance)


def _by_threshold(sources: Sequence[Reached], place: int, thresholds: int) -> list[int]:
    """Return by threshold how many sources reached it within one `findtime`."""
    counts = [0] * thresholds
    for one in sources:
        mask = one.masks[place]
        while mask:
            lowest = mask & -mask
            counts[lowest.bit_length() - 1] += 1
            mask ^= lowest
    return counts


def _propose(scores: Sequence[Score], today: Score, counts: _Counts, seen: Seen) -> tuple[Score | None, list[str]]:
    """Return a proposal, or None, and the reasons."""
    if seen.span_s < LEAST_HISTORY_S:
        span = f"{seen.span_s / 3600:.1f} h" if seen.span_s >= _HOUR_S else f"{seen.span_s / 60:.0f} min"
        return None, [f"too little history: {span}, and at least 24 h are needed"]
    clean = [one for one in scores if not one.good]
    reasons = []
    if counts.good < LEAST_GOOD:
        clean = [one for one in clean if not _is_stricter(one.point, today.point)]
        sources = "source" if counts.good == 1 else "sources"
        reasons.append(
            f"stricter values are not proposed: the detector counted {counts.good} known-good {sources}, and it takes "
            f"{LEAST_GOOD} to see that stricter ones spare them"
        )
    if not clean:
        return None, [*reasons, "known-good sources are hit at every point: put them on the allowlist, and tune again"]
    most = max(one.offenders for one in clean)
    if most < LEAST_OFFENDERS:
        found = {0: "no offender is", 1: "at most 1 offender is"}.get(most, f"at most {most} offenders are")
        text = f"too little history: {found} found at points that hit no known-good source, and it takes"
        return None, [f"{text} {LEAST_OFFENDERS} to compare points", *reasons]
    nearly = [one for one in clean if one.offenders >= math.ceil(_NEARLY_ALL * most)]
    best = max(nearly, key=lambda one: (round(one.distance, 1), -_steps(one.point, today.point)))
    return best, [_reason(best, most, today, counts), *reasons]


def _is_stricter(point: Point, other: Point) -> bool:
    """Whether a point may find a source that the other one does not."""
    return point.maxretry < other.maxretry or point.findtime_s > other.findtime_s


def _steps(point: Point, other: Point) -> float:
    """Return how far two points are from each other, in factors."""
    return abs(math.log(point.maxretry / other.maxretry)) + abs(math.log(point.findtime_s / other.findtime_s))


def _reason(best: Score, most: int, today: Score, counts: _Counts) -> str:
    found = f"finds {best.offenders} of {counts.offenders} sources that are not known-good (today: {today.offenders})"
    if missed := counts.offenders - most:
        found += f"; {missed} are found only where known-good sources are hit, too"
    spared = f"hits none of {counts.good} known-good sources that were counted (today: {today.good})"
    near = "" if best.distance >= _GREAT_DISTANCE else f"; the nearest of them reaches {1 / best.distance:.0%} of it"
    return f"it {found}; it {spared}{near}"


def _confidence(best: Score, counts: _Counts, seen: Seen) -> Confidence:
    values = seen.span_s, best.offenders, counts.good, best.distance
    if seen.is_incomplete or (seen.is_cut_short and counts.hits):
        return Confidence.LOW
    for confidence, *bounds in _BOUNDS:
        if all(value >= bound for value, bound in zip(values, bounds, strict=True)):
            return Confidence.MEDIUM if seen.is_cut_short else confidence
    return Confidence.LOW


def _doubts(counts: _Counts, seen: Seen) -> list[str]:
    """Return what the history cannot say."""
    doubts = []
    if seen.is_cut_short:
        doubts.append(
            "the detector banned during this history, and what a source would have done after its ban is unknown: "
            "higher thresholds find more offenders than the table says"
            + (", and may hit more of the known-good sources that were banned" if counts.hits else "")
        )
    if seen.is_incomplete:
        doubts.append("the history has gaps: sources may have done more than was counted")
    return doubts
