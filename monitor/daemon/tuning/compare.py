"""Compares what two configurations banned over the same history. Pure.

Each incident (`incidents.py`) is added, lost, or differs in start, strength and length. A ban inside a wider one that
the other configuration has is neither added nor lost.
"""

import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from monitor.daemon.tuning.ban_history import BanHistory, BudgetUse, Span
from monitor.daemon.tuning.incidents import Rank, Wider, incidents, rank
from monitor.daemon.tuning.known_good import Mark, good_reason
from monitor.model.addresses import Network
from monitor.model.alerts import Strength

_TOLERANCE_S = 1.0
_TOLERANCE = 0.01
"""Of a length: a hundredth of it is no difference."""


class Kind(enum.StrEnum):
    """What another configuration changes about an incident; a closed set, used in JSON."""

    ADDED = "added"
    LOST = "lost"
    EARLIER = "earlier"
    LATER = "later"
    STRONGER = "stronger"
    WEAKER = "weaker"
    LONGER = "longer"
    SHORTER = "shorter"
    OBSERVED_ADDED = "observed_added"
    """Nobody bans it; the new configuration reports what would have been a ban."""
    OBSERVED_LOST = "observed_lost"
    COVERED = "covered"
    """The other configuration bans a wider network instead."""


class Side(msgspec.Struct, frozen=True):
    """An incident under one configuration: its bans, from the first start to the last end."""

    detector: str
    """The one that banned first."""
    strength: Strength
    """The strongest."""
    is_whole: bool
    """Whether all ports are closed to it."""
    since_s: float
    banned_s: float
    """How long it was banned, in seconds."""
    bans: int
    reason: str
    """Why it was banned first."""


class Change(msgspec.Struct, frozen=True):
    """An incident that differs, with what is known of the source."""

    network: Network
    kinds: tuple[Kind, ...]
    old: Side | None
    new: Side | None
    marks: tuple[Mark, ...] = ()

    @property
    def detector(self) -> str:
        """The detector that is answerable for it: that of the new configuration, where it has one."""
        side = self.new or self.old
        return side.detector if side else ""

    @property
    def is_harmful(self) -> bool:
        """Whether the new configuration bans where the old one did not, or only its new connections."""
        return Kind.ADDED in self.kinds or Kind.STRONGER in self.kinds


class Totals(msgspec.Struct, frozen=True):
    """What one configuration did in all."""

    bans: int
    observed: int
    networks: int
    alerts: dict[str, int]
    spared: dict[str, int]
    budget: BudgetUse
    omitted: int


class Comparison(msgspec.Struct, frozen=True):
    """What the new configuration changes."""

    changes: list[Change]
    """By time."""
    unchanged: int
    """Incidents that are the same under both."""
    by_detector: dict[str, dict[Kind, int]]
    old: Totals
    new: Totals

    @property
    def kinds(self) -> Counter[Kind]:
        """How often each kind of change occurs."""
        return Counter(kind for change in self.changes for kind in change.kinds)

    @property
    def harmed(self) -> Counter[Mark]:
        """How many bans that are added or stronger hit sources with each mark."""
        return Counter(mark for change in self.changes if change.is_harmful for mark in change.marks)

    @property
    def known_good(self) -> int:
        """How many bans that are added or stronger hit known-good sources."""
        return sum(change.is_harmful and good_reason(change.marks) != "" for change in self.changes)

    @property
    def lost_bad(self) -> int:
        """How many sources that are labelled bad are not banned any more."""
        return sum(Kind.LOST in change.kinds and Mark.BAD in change.marks for change in self.changes)


_Marks = Callable[[Network, float], tuple[Mark, ...]]


def compare(old: BanHistory, new: BanHistory, marks: _Marks = lambda _network, _time_s: ()) -> Comparison:
    """Return what differs between two histories of the same recording.

    `marks` says what is known of a network at a time (wall time, seconds).
    """
    wider_old, wider_new = Wider(old.spans), Wider(new.spans)
    changes: list[Change] = []
    unchanged = 0
    for network, found in incidents(old.spans, new.spans):
        for old_spans, new_spans in found:
            change = _classified(network, old_spans, new_spans, wider_old, wider_new)
            if change is None:
                unchanged += 1
            else:
                since_s = min(span.since_s for span in (*old_spans, *new_spans))
                changes.append(msgspec.structs.replace(change, marks=marks(network, since_s)))
    changes.sort(key=_start)
    by_detector: defaultdict[str, Counter[Kind]] = defaultdict(Counter)
    for change in changes:
        by_detector[change.detector].update(change.kinds)
    detectors = {name: dict(counts) for name, counts in sorted(by_detector.items())}
    return Comparison(changes, unchanged, detectors, _totals(old), _totals(new))


def _start(change: Change) -> tuple[float, Network]:
    return min(side.since_s for side in (change.old, change.new) if side), change.network


def _totals(history: BanHistory) -> Totals:
    observed = sum(span.is_observed for span in history.spans)
    networks = len({span.network.whole for span in history.spans if not span.is_observed})
    return Totals(
        bans=len(history.spans) - observed,
        observed=observed,
        networks=networks,
        alerts=history.alerts,
        spared=history.spared,
        budget=history.budget,
        omitted=history.omitted,
    )


def _classified(
    network: Network, old_spans: list[Span], new_spans: list[Span], wider_old: Wider, wider_new: Wider
) -> Change | None:
    """Return how an incident differs; None if it does not."""
    old, new = _side(old_spans, is_observed=False), _side(new_spans, is_observed=False)
    if old is None and new is None:
        old, new = _side(old_spans, is_observed=True), _side(new_spans, is_observed=True)
        if old is not None and new is not None:
            return None
        return Change(network, (Kind.OBSERVED_LOST if new is None else Kind.OBSERVED_ADDED,), old, new)
    if old is None:
        assert new is not None  # noqa: S101 - for the type checker
        return Change(
            network, (Kind.COVERED if wider_old.covers(network, new.since_s, _rank(new)) else Kind.ADDED,), old, new
        )
    if new is None:
        return Change(
            network, (Kind.COVERED if wider_new.covers(network, old.since_s, _rank(old)) else Kind.LOST,), old, new
        )
    kinds = tuple(_differences(old, new))
    return Change(network, kinds, old, new) if kinds else None


def _differences(old: Side, new: Side) -> Iterator[Kind]:
    if abs(new.since_s - old.since_s) >= _TOLERANCE_S:
        yield Kind.EARLIER if new.since_s < old.since_s else Kind.LATER
    before, after = _rank(old), _rank(new)
    if before != after:
        yield Kind.STRONGER if after > before else Kind.WEAKER
    if abs(new.banned_s - old.banned_s) > max(_TOLERANCE_S, _TOLERANCE * old.banned_s):
        yield Kind.LONGER if new.banned_s > old.banned_s else Kind.SHORTER


def _rank(side: Side) -> Rank:
    return rank(side.strength, is_whole=side.is_whole)


def _side(spans: Sequence[Span], *, is_observed: bool) -> Side | None:
    """Return what the bans of one configuration amount to; None if there are none of this kind."""
    own = [span for span in spans if span.is_observed is is_observed]
    if not own:
        return None
    own.sort(key=lambda span: span.since_s)
    banned_s, end_s = 0.0, float("-inf")
    for span in own:
        banned_s += max(0.0, span.until_s - max(span.since_s, end_s))
        end_s = max(end_s, span.until_s)
    best = max(own, key=lambda span: rank(span.strength, is_whole=not span.network.ports))
    first = own[0]
    return Side(first.detector, best.strength, not best.network.ports, first.since_s, banned_s, len(own), first.reason)


class Limits(msgspec.Struct, frozen=True):
    """How much a new configuration may change; None: any number."""

    new_bans: int | None = None
    lost_bans: int | None = None
    internal: int | None = None
    known_good: int | None = None

    def exceeded(self, found: Comparison) -> list[str]:
        """Return a sentence for each limit that is exceeded, or that cannot be judged."""
        counts = (
            ("--max-new-bans", self.new_bans, found.kinds[Kind.ADDED], "bans are added"),
            ("--max-lost-bans", self.lost_bans, found.kinds[Kind.LOST], "bans are lost"),
            (
                "--max-internal",
                self.internal,
                found.harmed[Mark.INTERNAL],
                "added or stronger bans hit internal addresses",
            ),
            ("--max-known-good", self.known_good, found.known_good, "added or stronger bans hit known-good sources"),
        )
        over = [
            f"{count} {what}: more than {option} {limit}"
            for option, limit, count, what in counts
            if limit is not None and count > limit
        ]
        omitted = found.old.omitted + found.new.omitted
        if omitted and self != Limits():
            over.append(f"{omitted} bans are beyond what can be compared: the limits cannot be judged")
        return over
