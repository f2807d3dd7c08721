"""A sliding window of bitmaps by key, bounded in memory whatever attackers send."""

import heapq
from collections import deque
from collections.abc import Iterable

from monitor.model.port_bitmap import estimate
from monitor.model.saved_rows import SavedRow, number_row, read_number, recent
from monitor.model.window import WindowStats

_SLOTS = 8


class BitmapWindow:
    """Combines the bitmaps of each key within `findtime_s`; `add` says when a key's estimate reaches `maxretry`.

    Time is cut into slots of an eighth of `findtime_s`. The slot that has begun and the seven before it count, so what
    happened is remembered for seven to eight eighths of `findtime_s`, and never longer. At most `max_entries` bitmaps
    are remembered. When that is full, the keys with the fewest bits are forgotten: forged sources with a packet or two
    each, rather than a source that is halfway to the threshold.
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

    def add(self, key: bytes, bitmap: int, time_s: float) -> int | None:
        """Add bits to a key; return all its bits if the estimate reaches `maxretry`, and forget the key, else None."""
        current = self._advance(time_s)
        if key not in current:
            self.stats.entries += 1
        current[key] = current.get(key, 0) | bitmap
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
        """Return the bits of all keys."""
        total: dict[bytes, int] = {}
        for _, bitmaps in self._slots:
            for key, bitmap in bitmaps.items():
                total[key] = total.get(key, 0) | bitmap
        return total

    def _forget(self, key: bytes) -> None:
        for _, bitmaps in self._slots:
            if bitmaps.pop(key, None) is not None:
                self.stats.entries -= 1

    def _thin_out(self) -> None:
        """Forget the keys with the fewest bits, until at most half of what may be remembered is left."""
        total = self._total()
        for key in sorted(total, key=lambda key: total[key].bit_count()):
            if self.stats.entries <= self._max_entries // 2:
                break
            self._forget(key)
            self.stats.evicted_keys += 1
