"""What a detector is: a rule over events that raises alerts.

A source hands a batch of events of one type to the pipeline, the dispatch feeds it to each detector that takes this
type, and the detector returns the alerts that the batch raised. The rest of the daemon knows detectors by the members
below only, so no other module names one:

- routing: `takes`, `is_addressed`
- `status`, `why` and `top`: `name`, `limits`, `stats`, `count`, `busiest`, `witnesses`, `notices`
- metrics: the same, `strengths` for the labels of alerts, `metrics` and `samples` for a detector's own
- the node's addresses and the allowlist: `follow`
- evidence that turns out to be none: `review`, `take_back`
- a reload of the configuration: `recipe`, `take_over`, `counts_like`, `dates_items`
- a restart: `windows`

A detector does no I/O and reads no clock: time is that of the events, so recorded traffic replays exactly. What it
remembers is bounded by `limits.max_entries`, whatever attackers send.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from monitor.detectors.kept import Extent, Kept, changed_limits, kept_counts
from monitor.detectors.limits import Limits
from monitor.metrics.metric import Metric, Sample
from monitor.model.addresses import Address, Network, host, network_of
from monitor.model.alerts import Alert, FloodAlert, Strength
from monitor.model.events import Event
from monitor.model.networks import Surrounding
from monitor.model.saved_rows import CountingWindow
from monitor.model.services import Service
from monitor.model.window_stats import WindowStats

EventT = TypeVar("EventT", bound=Event)
_MOST_ROWS = 4096
"""Rows of a window that are looked at to find whom it counts most."""


class Detector(ABC, Generic[EventT]):
    """A rule over events of the types in `takes`."""

    name: str
    """In the configuration, bans, metrics and history; unique."""
    takes: ClassVar[tuple[type[Event], ...]]
    """The types of events that it is fed with."""
    is_addressed: ClassVar[bool] = False
    """Whether its events carry a detector's name (`event.detector`): only the detector of that name gets them."""
    is_one_way: ClassVar[bool] = False
    """Whether it counts packets that nothing shows to be of their source: another host can have sent them all."""
    reports_floods: ClassVar[bool] = False
    """Whether some of its alerts are about no single source (`FloodAlert`)."""
    judges: ClassVar[str] = "source"
    """The attribute of a flow with the address that its alerts are about."""
    strengths: ClassVar[tuple[Strength, ...]] = (Strength.PROVEN, Strength.SPOOFABLE)
    """What its alerts can prove."""
    dates_items: ClassVar[bool] = False
    """Whether its windows know when each single item was counted: then a shorter `findtime` keeps what still counts."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Metrics of its own, in addition to those that all detectors have."""
    recipe: tuple[Any, ...]
    """What it was made of. After a reload, a detector of an equal recipe is kept with everything it remembers."""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Note the recipe, so that no subclass can leave a setting out of it."""
        made = super().__new__(cls)
        made.recipe = (cls, arguments, options)
        return made

    def __init__(self, limits: Limits) -> None:
        """Take when to fire; what else a detector needs are further arguments."""
        self.limits = limits
        self.stats = WindowStats()
        """What is remembered, what was forgotten early, and the highest count; subclasses may share a window's."""
        self.surrounding = Surrounding()

    @abstractmethod
    def feed(self, events: Sequence[EventT]) -> Iterable[Alert | FloodAlert]:
        """Take a batch of events, all of one type, and return the alerts that it raised."""

    def count(self, source: Address) -> int:  # noqa: ARG002 - for those that remember something
        """Return how close this address is to `limits.maxretry`; 0 for detectors that fire at once."""
        return 0

    def busiest(self, limit: int) -> list[tuple[Network, int]]:
        """Return whom it counts most, with the counts, highest first; takes time in proportion to what is kept."""
        rows = min(limit * self.limits.maxretry, _MOST_ROWS)
        counted: dict[Network, int] = {}
        for window in self.windows():
            for key in dict.fromkeys(row[0] for row in window.export(rows)):
                network = self.counted(key)
                counted[network] = max(window.count(key), counted.get(network, 0))
        return heapq.nlargest(limit, counted.items(), key=lambda one: one[1])

    def counted(self, key: bytes) -> Network:
        """Return whom a key of its windows stands for: an address, or the leading bytes of an IPv6 prefix."""
        if len(key) in {4, 16}:
            return host(key)
        return network_of(key.ljust(16, b"\0"), self.limits.ipv6_prefix)

    def windows(self) -> Sequence[CountingWindow]:
        """Return what it remembers that a restart must not forgive; the order is that of the saved rows."""
        return ()

    def counts_like(self, old: Self) -> bool:
        """Whether what `old`, of the same class, counted means the same here, apart from when to fire.

        The default: all that it was made of is equal, but for `Limits`.
        """
        _, arguments, options = self.recipe
        return (_unlimited(arguments), options) == (_unlimited(old.recipe[1]), old.recipe[2])

    def take_over(self, old: "Detector[Any]", now_s: float) -> Kept:
        """Continue with what an earlier detector of this name counted, as far as it means the same; say what that is.

        Called once, before the first event. No alert follows from it: a source that has reached a lower threshold
        already is reported at its next event.
        """
        if not isinstance(old, type(self)) or not self.counts_like(old):
            return Kept(Extent.NOTHING, "what is counted changed: counts start from zero")
        if old.limits.ipv6_prefix != self.limits.ipv6_prefix:
            return Kept(Extent.NOTHING, "bans.prefixes.ipv6_score changed: counts start from zero")
        if not self.dates_items and self.windows() and self.limits.findtime_s < old.limits.findtime_s:
            changed = changed_limits(old.limits, self.limits)
            return Kept(
                Extent.NOTHING, f"{changed}; how much of it lies within the shorter time is not known: counts reset"
            )
        for window, known in zip(self.windows(), old.windows(), strict=True):
            window.resume(known.export(self.limits.max_entries), now_s)
        return kept_counts(old.limits, self.limits)

    def follow(self, surrounding: Surrounding) -> None:
        """Follow the node's own addresses, pod networks and allowlist; called at start and after each change."""
        self.surrounding = surrounding

    def review(self, services: Sequence[Service]) -> Iterable[Network]:  # noqa: ARG002 - see DistinctDetector
        """Take note of services that became known; return the networks that recent alerts no longer convict."""
        return ()

    def take_back(self, events: Sequence[EventT]) -> Iterable[Network]:  # noqa: ARG002 - see DistinctDetector
        """Take back events that were no evidence; return the networks that recent alerts no longer convict."""
        return ()

    def witnesses(self, source: Address) -> dict[str, int]:  # noqa: ARG002 - for those with several sources of events
        """Return by source of events how much of what raised the last alert about this address it reported."""
        return {}

    def notices(self, now_s: float) -> Iterable[str]:  # noqa: ARG002 - for those that see what they cannot judge
        """Return what keeps it from seeing all that it is meant to see, a sentence each; `now_s` is wall time."""
        return ()

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of `metrics`; a counter starts at 0, so that its first increase is seen."""
        return iter(())


def _unlimited(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments without `Limits`."""
    return tuple(one for one in arguments if not isinstance(one, Limits))
