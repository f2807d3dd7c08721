"""Counts by origin within a sliding window: the shared part of detectors of rates."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from monitor.detectors.detector import Detector, EventT
from monitor.detectors.limits import Limits
from monitor.detectors.origins import example_of
from monitor.model.addresses import Address, origin_key
from monitor.model.networks import Surrounding
from monitor.model.rates import RateWindow
from monitor.model.saved_rows import CountingWindow
from monitor.model.window_stats import WindowStats

_MOST_SHELTERED = 1024


class OriginRate:
    """Counts by origin, and reports each origin that reaches the threshold."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing counted."""
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._rates = RateWindow(findtime_s=limits.findtime_s, maxretry=limits.maxretry, max_entries=limits.max_entries)
        self._rates.leaves_out = self._is_sheltered
        self._surrounding = Surrounding()
        self._sheltered: set[bytes] = set()

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self._rates.stats

    @property
    def window(self) -> CountingWindow:
        """What a restart must not forgive."""
        return self._rates

    def follow(self, surrounding: Surrounding) -> None:
        """Follow the allowlist: protected origins are counted, but never reported as the busiest."""
        self._surrounding = surrounding
        self._sheltered.clear()

    def _is_sheltered(self, origin: bytes) -> bool:
        """Whether an origin is protected; answers are cached, since the node's own pods may lead in every batch."""
        if origin in self._sheltered:
            return True
        if not self._surrounding.shelters(origin):
            return False
        if len(self._sheltered) < _MOST_SHELTERED:
            self._sheltered.add(origin)
        return True

    def add(
        self, sources: list[Address], time_s: float, weights: Iterable[int] | None = None
    ) -> Iterator[tuple[bytes, Address, int]]:
        """Count each source once, or by its weight; yield origin, one of its sources and count at the threshold."""
        if not sources:
            return
        width = self._prefix_bytes
        counts: Counter[bytes] = Counter()
        if weights is None:
            counts.update([source if len(source) == 4 else origin_key(source, width) for source in sources])
        else:
            for source, weight in zip(sources, weights, strict=True):
                counts[origin_key(source, width)] += weight
        for origin, count in self._rates.add(counts, time_s):
            yield origin, example_of(origin, sources), int(count)

    def count(self, source: Address) -> int:
        """Return the recent count of the origin of this source."""
        return self._rates.count(origin_key(source, self._prefix_bytes))


class RateDetector(Detector[EventT]):
    """Counts something by origin within `findtime_s`."""

    def __init__(self, limits: Limits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self.rate = OriginRate(limits)
        self.stats = self.rate.stats

    def follow(self, surrounding: Surrounding) -> None:
        """Follow the node's own addresses, pod networks and allowlist."""
        super().follow(surrounding)
        self.rate.follow(surrounding)

    def windows(self) -> Sequence[CountingWindow]:
        """Return the window."""
        return (self.rate.window,)

    def count(self, source: Address) -> int:
        """Return the recent count of the origin of this address."""
        return self.rate.count(source)
