"""A sliding window of bitmaps by key, bounded in memory whatever attackers send."""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator

from monitor.model.crowds import beyond_share
from monitor.model.eviction_sketch import EvictionSketch
from monitor.model.port_bitmap import estimate
from monitor.model.saved_rows import SavedRow, number_row, read_number, recent
from monitor.model.window_stats import WindowStats

_SLOTS = 8
_LEVELS = 4
_PART_KEPT = 32
"""Of the room, at most a thirty-second for keys that are kept, each with up to `_SLOTS` bitmaps."""


class BitmapWindow:
    """Combines the bitmaps of each key within `findtime_s`; `add` says when a key's estimate reaches `maxretry`.

    Time is cut into slots of an eighth of `findtime_s`. The slot that has begun and the seven before it count, so what
    happened is remembered for seven to eight eighths of `findtime_s`, and never longer. At most `max_entries` bitmaps
    are remembered. When that is full, keys are forgotten by the rules of `DistinctWindow`: networks fill only their
    share, keys with few bits and keys with many have shares of their own, and a key that comes back again and again is
    kept.
    """

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Start with nothing."""
        self.stats = WindowStats()
        self._findtime_s = findtime_s
        self._slot_s = findtime_s / _SLOTS
        self._maxretry = maxretry
        self._max_entries = max_entries
        self._slots: deque[tuple[int, dict[bytes, int]]] = deque()
        """Number of the slot and the bitmaps in it, newest last."""
        self._now_s = float("-inf")
        self._sketch = EvictionSketch(max_entries, findtime_s)
        self._kept: dict[bytes, None] = {}
        """Keys that came back again and again, oldest first: not forgotten to make room."""

    def add(self, key: bytes, bitmap: int, time_s: float) -> int | None:
        """Add bits to a key; return all its bits if the estimate reaches `maxretry`, and forget the key, else None."""
        current = self._advance(time_s)
        if key not in current:
            self.stats.entries += 1
        current[key] = current.pop(key, 0) | bitmap  # the key seen last comes last
        bits = self._bits(key)
        count = estimate(bits)
        self.stats.peak = max(self.stats.peak, count)
        if count >= self._maxretry:
            self._forget(key)
            return bits
        if self.stats.entries > self._max_entries:
            self._thin_out()
        return None

    def count(self, key: bytes) -> int:
        """Return the estimate of a key, as of the last `add`."""
        return int(estimate(self._bits(key)))

    def export(self, limit: int) -> list[SavedRow]:
        """Return the bitmaps with the most bits, at most `limit`; see `SavedWindow`."""
        total = self._total()
        rows: list[SavedRow] = []
        for key in heapq.nlargest(limit, total, key=lambda key: total[key].bit_count()):
            found = [(number, bitmaps[key]) for number, bitmaps in self._slots if key in bitmaps]
            if len(rows) + len(found) > limit:
                break
            for number, bitmap in found:
                rows.append(number_row(key, bitmap, min((number + 0.5) * self._slot_s, self._now_s)))
        return rows

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Remember bitmaps of an earlier run; a key that reaches a threshold that is lower now is forgotten."""
        for key, value, time_s in recent(rows, self._findtime_s, now_s):
            self.add(key, read_number(value), time_s)

    def _bits(self, key: bytes) -> int:
        bits = 0
        for _, bitmaps in self._slots:
            bits |= bitmaps.get(key, 0)
        return bits

    def _advance(self, time_s: float) -> dict[bytes, int]:
        """Return the slot of now. When the clock was set back by more than `findtime_s`, start again."""
        if time_s < self._now_s - self._findtime_s:
            self._slots.clear()
            self._now_s = time_s
        self._now_s = max(self._now_s, time_s)
        number = int(self._now_s // self._slot_s)
        while self._slots and self._slots[0][0] <= number - _SLOTS:
            self._slots.popleft()
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, {}))
            self.stats.entries = sum(len(bitmaps) for _, bitmaps in self._slots)
        return self._slots[-1][1]

    def _total(self) -> dict[bytes, int]:
        """Return the bits of all keys, the key seen last at the end."""
        total: dict[bytes, int] = {}
        for _, bitmaps in self._slots:
            for key, bitmap in bitmaps.items():
                total[key] = total.pop(key, 0) | bitmap
        return total

    def _forget(self, key: bytes) -> None:
        self._kept.pop(key, None)
        for _, bitmaps in self._slots:
            if bitmaps.pop(key, None) is not None:
                self.stats.entries -= 1

    def _thin_out(self) -> None:
        """Forget keys until at most half of what may be remembered is left."""
        while self.stats.entries > self._max_entries // 2:
            chosen = self._chosen()
            saved = self._sketch.saved(chosen, self._now_s)
            for key in chosen:
                if key in saved:
                    self._kept[key] = None
                else:
                    self._lose(key)
            while len(self._kept) > self._max_entries // _PART_KEPT:
                self._lose(next(iter(self._kept)))

    def _chosen(self) -> list[bytes]:
        """Return the keys to forget, or all that are kept where there are no others."""
        held = Counter(key for _, bitmaps in self._slots for key in bitmaps)
        counts = {key: bits.bit_count() for key, bits in self._total().items() if key not in self._kept}
        chosen, excess = [], self.stats.entries - self._max_entries // 2
        for key in _fairly(counts):
            chosen.append(key)
            excess -= held[key]
            if excess <= 0:
                break
        return chosen or list(self._kept)

    def _lose(self, key: bytes) -> None:
        """Forget a key early. It matters where it was near the threshold, or seen in the slot of now."""
        is_recent = key in self._slots[-1][1]
        stats = self.stats
        stats.missed_keys += is_recent or 2 * self.count(key) >= self._maxretry
        stats.evicted_keys += 1
        self._forget(key)


def _fairly(counts: dict[bytes, int]) -> Iterator[bytes]:
    """Yield keys in the order to forget them: those of networks with more than their share, then of the fullest level.

    The levels are 1, 2 to 3, 4 to 7, and 8 bits and more; in each the key seen longest ago goes first.
    """
    beyond = dict.fromkeys(beyond_share(counts))
    yield from beyond
    levels: list[deque[bytes]] = [deque() for _ in range(_LEVELS)]
    for key, count in counts.items():
        if key not in beyond:
            levels[min(count.bit_length(), _LEVELS) - 1].append(key)
    while fullest := max(levels, key=len):
        yield fullest.popleft()
