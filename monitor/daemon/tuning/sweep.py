"""A sweep: which sources a detector would have found at each pair of `findtime` and threshold, in one pass.

A source is found at a threshold if its count ever reaches it. Until then the threshold has no part in the count. So for
detectors that remember each thing that they count, one copy for each `findtime`, whose threshold nobody reaches, gives
the highest count of each source, and that answers for all thresholds at once. Where the threshold has a part (an IPv6
address adds at most a third of it to its prefix), and for detectors that only count by time, there is a copy for each
point: the same code as in the daemon, so the answer is the same (`tests/unit/daemon/test_sweep.py` compares it with
one run for each point).

Sources count as found whatever becomes of the alert: an allowlisted source that crosses the threshold is spared by the
daemon, and here it is what shows that the threshold is too low.

Pure; time is that of the events.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from monitor.daemon.tuning.grid import Grid, Point, at, grid_of
from monitor.detectors.detector import Detector
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import Address, Network
from monitor.model.alerts import Alert
from monitor.model.networks import Networks, Surrounding
from monitor.model.services import Service
from monitor.model.window import DistinctWindow

MOST_SOURCES = 200_000
"""Sources whose counts are noted; of others, only that there were more."""
_ROOM = 262_144
"""Items that a copy without a threshold remembers."""
_HOST = bytes((32,))
_CLASS_MEMBERS = ("takes", "is_addressed", "is_one_way", "judges")

Build = Callable[[DetectorSettings], Detector[Any]]
"""Makes the detector of a section."""


class Reached(msgspec.Struct, frozen=True, gc=False):
    """A source that was counted, and the thresholds that it reached."""

    source: Address
    network: Network
    """What would be banned: the source, or its IPv6 prefix."""
    masks: tuple[int, ...]
    """By `findtime` in the order of the grid: bit N is set where it reached the Nth threshold of the grid."""

    def is_found(self, place: int, threshold: int) -> bool:
        """Whether it reached a threshold, both numbers being places in the grid."""
        return bool(self.masks[place] >> threshold & 1)


class Sweep(Detector[Any]):
    """Takes the place of a detector, counts at all points of a grid, and raises no alert."""

    def __init__(self, detector: Detector[Any], section: DetectorSettings, build: Build) -> None:
        """Take the detector, its section, and what makes another one; ValueError if it has no threshold."""
        super().__init__(detector.limits)
        self.name = detector.name
        windows = detector.windows()
        self._has_gauges = len(windows) == 1 and isinstance(windows[0], DistinctWindow)
        grid = grid_of(section, is_costly=not self._has_gauges, has_window=bool(windows))
        if grid is None:
            raise ValueError(f"{detector.name} has no threshold: one event is enough")
        self.grid: Grid = grid
        self.events_total = 0
        """Events that it was fed with; a batch of flows is one."""
        self.unnoted_total = 0
        """Crossings of sources for which there was no room."""
        self.first_s, self.last_s = float("inf"), float("-inf")
        """Times of the first and of the last event."""
        self._reached: dict[bytes, tuple[Address, list[int]]] = {}
        self._full = (1 << len(grid.maxretries)) - 1
        self._build, self._section = build, section
        endless = at(section, Point(0.0, _ROOM - 1), max_entries=_ROOM) if self._has_gauges else section
        self._gauges = [
            build(msgspec.structs.replace(endless, findtime_s=one)) for one in grid.findtimes_s if self._has_gauges
        ]
        """One for each `findtime`; nobody reaches their threshold."""
        self._copies: list[tuple[int, int, Detector[Any]]] = [] if self._has_gauges else list(self._make_copies())

    @property
    def lost_total(self) -> int:
        """Sources that were forgotten early for lack of room: what they reached is a lower bound."""
        return sum(one.stats.missed_keys for one in self._all())

    def feed(self, events: Sequence[Any]) -> tuple[()]:
        """Count a batch of events at all points."""
        self.events_total += len(events)
        if events:
            self.first_s = min(self.first_s, events[0].time_s)
            self.last_s = max(self.last_s, events[-1].time_s)
        if not self._has_gauges:
            self._feed_copies(events)
            return ()
        for event in events:
            if len(event.source) == 4 and getattr(event, "prefix_length", None) is None:
                self._measure(event)
            else:
                self._copies = self._copies or list(self._make_copies())
                self._feed_copies((event,))
        return ()

    def follow(self, surrounding: Surrounding) -> None:
        """Follow what surrounds the node; protected sources count here like all others."""
        super().follow(msgspec.structs.replace(surrounding, protected=Networks()))
        for one in self._all():
            one.follow(self.surrounding)

    def review(self, services: Sequence[Service]) -> Iterable[Network]:
        """Take note of services; what was found before stays found."""
        for one in self._all():
            list(one.review(services))
        return ()

    def take_back(self, events: Sequence[Any]) -> Iterable[Network]:
        """Take back what was no evidence; what was found before stays found."""
        for one in self._all():
            list(one.take_back(events))
        return ()

    def sources(self) -> Iterator[Reached]:
        """Yield each source that was counted, with what it reached."""
        for key, (source, masks) in self._reached.items():
            yield Reached(source, Network(key[:-1], key[-1]), tuple(masks))

    def _all(self) -> Iterator[Detector[Any]]:
        yield from self._gauges
        yield from (one for _, _, one in self._copies)

    def _make_copies(self) -> Iterator[tuple[int, int, Detector[Any]]]:
        for point in self.grid.points:
            copy = self._build(at(self._section, point))
            copy.follow(self.surrounding)
            yield self.grid.findtimes_s.index(point.findtime_s), 1 << self.grid.maxretries.index(point.maxretry), copy

    def _measure(self, event: Any) -> None:
        """Have each gauge count an event, unless its source has reached all thresholds already."""
        source, one, full = event.source, (event,), self._full
        key = source + _HOST
        known = self._reached.get(key)
        masks = known[1] if known else None
        for place, gauge in enumerate(self._gauges):
            if masks is not None and masks[place] == full:
                continue
            stats = gauge.stats
            stats.peak = 0
            gauge.feed(one)
            if stats.peak:  # now that of the event's source
                if masks is None and (masks := self._masks(key, source)) is None:
                    return
                masks[place] |= (1 << bisect_right(self.grid.maxretries, stats.peak)) - 1

    def _feed_copies(self, events: Sequence[Any]) -> None:
        for place, mask, copy in self._copies:
            for alert in copy.feed(events):
                if not isinstance(alert, Alert):
                    continue
                key = alert.network.address + bytes((alert.network.prefix_length,))
                if (masks := self._masks(key, alert.source)) is not None:
                    masks[place] |= mask

    def _masks(self, key: bytes, source: Address) -> list[int] | None:
        """Return the masks of a network, given as its address and length; None if there is no room for another one."""
        known = self._reached.get(key)
        if known is None:
            if len(self._reached) >= MOST_SOURCES:
                self.unnoted_total += 1
                return None
            known = self._reached[key] = source, [0] * len(self.grid.findtimes_s)
        return known[1]


def sweep_of(detector: Detector[Any], section: DetectorSettings, build: Build) -> Sweep:
    """Return what takes the place of a detector: it takes the same events. ValueError if there is no threshold."""
    members = {name: getattr(type(detector), name) for name in _CLASS_MEMBERS}
    return type("Sweep", (Sweep,), members)(detector, section, build)  # type: ignore[no-any-return]
