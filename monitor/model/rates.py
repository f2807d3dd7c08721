"""A counter of how often things happen by key, bounded in memory whatever attackers send."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice

from monitor.model.crowds import beyond_share
from monitor.model.saved_rows import SavedRow, largest, read_number, recent
from monitor.model.window_stats import WindowStats


class RateWindow:
    """Counts by key within about `findtime_s`; `add` tells which keys reach `maxretry`, and forgets those.

    Time is cut into windows of `findtime_s`. A key's count is that of the window that has begun and so much of the
    window before as a sliding one would still cover, so what happens within `findtime_s` is never counted short by
    more than the unevenness of the older half. At most `max_entries` keys are remembered. When that is full, the keys
    that were counted least are forgotten: forged sources, with a packet or two each, rather than a source that floods.
    A network with more than its share of the keys (`crowds`) loses its own first.
    """

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Begin with nothing."""
        self.stats = WindowStats()
        self.leaves_out: Callable[[bytes], bool] = lambda _: False
        """Which keys are not told of as busiest; asked only of a key that would be."""
        self._findtime_s = findtime_s
        self._maxretry = maxretry
        self._most = max(2, max_entries // 2)  # of each of two windows
        self._begun_s = float("-inf")
        self._now_s = float("-inf")
        self._current: dict[bytes, int] = {}
        self._previous: dict[bytes, int] = {}

    def add(self, counts: Mapping[bytes, int], time_s: float) -> Iterator[tuple[bytes, float]]:
        """Count so many of each key at a time; yield keys that reach `maxretry`, with their counts."""
        self._advance(time_s)
        current, previous = self._current, self._previous
        share = 1.0 - (self._now_s - self._begun_s) / self._findtime_s
        stats = self.stats
        for key, count in counts.items():
            total = current.get(key, 0) + count
            reached = total + previous[key] * share if key in previous else total
            if reached > stats.peak and not self.leaves_out(key):
                stats.peak = reached
            if reached >= self._maxretry:
                current.pop(key, None)
                previous.pop(key, None)
                yield key, reached
            else:
                current[key] = total
        if len(current) > self._most:
            self._thin_out()
        stats.entries = len(self._current) + len(self._previous)

    def count(self, key: bytes) -> int:
        """Return how often a key was counted lately, as of the last `add`."""
        share = 1.0 - (self._now_s - self._begun_s) / self._findtime_s if self._current or self._previous else 0.0
        return int(self._current.get(key, 0) + self._previous.get(key, 0) * share)

    def export(self, limit: int) -> list[SavedRow]:
        """Return the highest counts, at most `limit`; see `SavedWindow`. Times are when their windows began."""
        before_s = self._begun_s - self._findtime_s
        current = ((key, count, self._begun_s) for key, count in self._current.items())
        previous = ((key, count, before_s) for key, count in self._previous.items())
        return largest(chain(current, previous), limit)

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Remember counts of an earlier run, if the window before now still counts; each stays below the threshold."""
        kept = list(recent(rows, 2 * self._findtime_s, now_s))
        if not kept or self._current or self._previous:
            return
        begun_s = kept[-1][2]
        for key, value, time_s in reversed(kept):
            window = self._current if time_s == begun_s else self._previous
            room = self._maxretry - 1 - self._current.get(key, 0)
            if count := min(read_number(value), room):
                window[key] = count
        self._begun_s = self._now_s = begun_s

    def _advance(self, time_s: float) -> None:
        """Begin the window that a time lies in; a clock that was set back, or far ahead, begins anew."""
        if time_s < self._now_s - self._findtime_s or time_s >= self._begun_s + 2 * self._findtime_s:
            self._current, self._previous = {}, {}
            self._begun_s = self._now_s = time_s
            return
        self._now_s = max(self._now_s, time_s)
        if self._now_s >= self._begun_s + self._findtime_s:
            self._begun_s += self._findtime_s
            self._previous, self._current = self._current, {}

    def _thin_out(self) -> None:
        """Forget keys until half of the room is free: of networks with more than their share, then those counted least.

        Of two that were counted alike, the one that came first goes first. It matters where a key had half of the
        threshold, and for all of them where the last had an eighth: then a source that floods slowly is among them.
        """
        current, stats = self._current, self.stats
        excess = len(current) - self._most // 2
        by_count = sorted(current, key=current.__getitem__)
        gone = dict.fromkeys(chain(beyond_share(by_count), by_count))
        least = 0
        for key in islice(gone, excess):
            count = least = current.pop(key)
            stats.missed_keys += 2 * count >= self._maxretry
        stats.evicted_keys += excess
        if 2 * least < self._maxretry <= 8 * least:
            stats.missed_keys += excess
