"""A table of the distinct items of each key, bounded in memory, in which neither old keys nor floods shut others out.

Keys are held in levels by their number of items. The fullest level makes room, and in it the key seen longest ago. So
single packets of forged sources push out each other and not a source that is halfway to the threshold, and sources that
are kept halfway push out each other and not a newcomer. A key that comes back again and again although it was evicted
(`eviction_sketch`) is kept from then on. What is lost nevertheless is counted.
"""

import struct
import sys
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice

from monitor.model.eviction_sketch import EvictionSketch
from monitor.model.kept_keys import KeptKeys, Level
from monitor.model.saved_rows import SavedRow
from monitor.model.window_stats import Crossing, WindowStats

_TIME = struct.Struct("d")
_ITEMS_OF_LEVELS = (2.5, 5.5)
"""Items of a key, about, in the levels for 2 to 3 and for 4 to 7; the last one is for 8 and more."""
_LEVELS = 2 + len(_ITEMS_OF_LEVELS)
_BATCHES = 1024
"""A part of the window that is evicted at once, which takes less time than key by key."""


class LevelWindow:
    """The distinct items of each key within `findtime_s`, at most `max_entries` in total; see DistinctWindow."""

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Make an empty window; `max_entries` must be greater than `maxretry`."""
        if not 1 <= maxretry < max_entries:
            raise ValueError(f"maxretry must lie between 1 and max_entries - 1 ({max_entries - 1}), got {maxretry}")
        self.stats = WindowStats()
        self._findtime_s = findtime_s
        self._maxretry = maxretry
        self._max_entries = max_entries
        self.now_s = float("-inf")
        """The time of the last item."""
        self._expire_at_s = float("-inf")
        # By number of items: 1, 2-3, 4-7, 8 and more; in each the key seen longest ago first. A single item is packed
        # behind its time into bytes: keys with one item are what floods make. OrderedDict, because finding the first
        # key of a dict takes time in proportion to the deleted ones before it.
        self._single: OrderedDict[bytes, bytes] = OrderedDict()
        self._multiple: tuple[Level, ...] = tuple(OrderedDict() for _ in range(_LEVELS - 1))
        self._kept = KeptKeys(max_entries // 4)
        self._sketch = EvictionSketch(max_entries, findtime_s)
        self._batch = 1 + max_entries // _BATCHES
        """Keys with one item that are evicted at once: a quarter of that of others."""
        self._outside_entries = 0
        """Entries in `stats` that are not in this table, but in parts of a subclass."""

    def add(self, key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note one item of a key; return what crossed the threshold (and forget the key), else None."""
        if time_s < self.now_s - self._findtime_s:
            self._clear()
            self.now_s = time_s
        elif time_s > self.now_s:
            self.now_s = time_s
        if self.now_s >= self._expire_at_s:
            self._expire()
        if key in self._kept.level:
            return self._add_to_kept(key, item, time_s)
        items = self._take(key)
        if items is None:
            if not self.stats.peak:
                self.stats.peak = 1
            if self._maxretry == 1:
                return Crossing((item,), time_s, time_s)
            self._single[key] = _TIME.pack(time_s) + item
            self.stats.entries += 1
            if self.stats.entries > self._max_entries:
                self._make_room()
            return None
        crossing = self._note(items, item, time_s)
        if crossing is None:
            self._put(key, items)
        return crossing

    def discard(self, key: bytes, item: bytes) -> bool:
        """Take an item back that was no evidence after all; return whether it was remembered."""
        items = self._take(key)
        if items is None:
            return False
        found = items.pop(item, None) is not None
        if items:
            self._put(key, items)
        return found

    def __len__(self) -> int:
        """Return the number of keys remembered."""
        return len(self._single) + sum(len(level) for level in (*self._multiple, self._kept.level))

    def count(self, key: bytes) -> int:
        """Return how many items of this key are remembered."""
        if key in self._single:
            return 1
        return next((len(level[key]) for level in (*self._multiple, self._kept.level) if key in level), 0)

    def most(self, leading: bytes, extra: tuple[int, ...] = (0,)) -> int:
        """Return the most items of any key that is these bytes and so many more; walks all keys."""
        lengths = {len(leading) + more for more in extra}
        found = (count for key, count in self.counts() if len(key) in lengths and key.startswith(leading))
        return max(found, default=0)

    def counts(self, most: int = sys.maxsize) -> Iterator[tuple[bytes, int]]:
        """Yield the keys of this table with their number of items, of each level about so many that stand for all."""
        step = max(1, len(self._single) // most)
        yield from ((key, step) for key in islice(self._single, None, None, step))
        for level in (*self._multiple, self._kept.level):
            step = max(1, len(level) // most)
            yield from ((key, step * len(level[key])) for key in islice(level, None, None, step))

    def export(self, limit: int) -> list[SavedRow]:
        """Return the items of the keys with the most, at most `limit`; see `SavedWindow`."""
        rows: list[SavedRow] = []
        kept = self._kept.by_count(_LEVELS)
        for keys, level in zip(reversed(kept), (*reversed(self._multiple), OrderedDict()), strict=True):
            for key in chain(keys, reversed(level)):
                items = self._kept.level[key] if key in self._kept.level else level[key]
                if len(rows) + len(items) > limit:
                    return rows
                rows += [(key, item, time_s) for item, time_s in items.items()]
        for key in islice(reversed(self._single), limit - len(rows)):
            single = self._single[key]
            rows.append((key, single[8:], _TIME.unpack_from(single)[0]))
        return rows

    def take_over(self, key: bytes, items: dict[bytes, float], now_s: float) -> None:
        """Take in a key from another table."""
        self.now_s = max(self.now_s, now_s)
        self._put(key, items)

    def shrink(self, max_entries: int) -> None:
        """Remember no more than this from now on; never grows."""
        self._max_entries = min(self._max_entries, max_entries)
        self._make_room()

    def _note(self, items: dict[bytes, float], item: bytes, time_s: float) -> Crossing | None:
        """Add an item to those of a key and drop the old ones; return a crossing if there are enough now."""
        items.pop(item, None)
        items[item] = time_s
        oldest_s = self.now_s - self._findtime_s
        while next(iter(items.values())) < oldest_s:
            del items[next(iter(items))]
        count = len(items)
        if count > self.stats.peak:
            self.stats.peak = count
        return Crossing(tuple(items), min(items.values()), time_s) if count >= self._maxretry else None

    def _take(self, key: bytes) -> dict[bytes, float] | None:
        """Remove and return the items of a key, None if it has none."""
        single = self._single.pop(key, None)
        if single is not None:
            self.stats.entries -= 1
            return {single[8:]: _TIME.unpack_from(single)[0]}
        for level in self._multiple:
            items = level.pop(key, None)
            if items is not None:
                self.stats.entries -= len(items)
                return items
        items = self._kept.take(key)
        if items is not None:
            self.stats.entries -= len(items)
        return items

    def _put(self, key: bytes, items: dict[bytes, float]) -> None:
        """Store the items of a key at its level, as the one seen last."""
        if len(items) == 1:
            item, time_s = next(iter(items.items()))
            self._single[key] = _TIME.pack(time_s) + item
        else:
            self._multiple[min(len(items).bit_length() - 2, _LEVELS - 2)][key] = items
        self.stats.entries += len(items)
        if self.stats.entries > self._max_entries:
            self._make_room()

    def _make_room(self) -> None:
        """Evict until there is room."""
        while self.stats.entries > self._max_entries:
            level = self._fullest()
            if level is None:
                self._evict_single()
            else:
                self._evict_multiple(level)

    def _evict_single(self) -> None:
        """Forget the keys with one item that were seen longest ago, but for those that came back again and again."""
        single, now_s = self._single, self.now_s
        is_recent = self._matters(1, now_s - self._single_seen_s())
        found = [single.popitem(last=False) for _ in range(min(self._batch, max(1, len(single) - 1)))]
        self.stats.entries -= len(found)
        saved = self._sketch.saved([key for key, _ in found], self.now_s)
        if saved:
            for key, packed in found:
                if key in saved:
                    self._keep(key, {packed[8:]: _TIME.unpack_from(packed)[0]})
        lost = len(found) - len(saved)
        self.stats.evicted_keys += lost
        self.stats.missed_keys += lost if is_recent else 0

    def _evict_multiple(self, level: Level) -> None:
        """Do the same with keys of several items."""
        found = []
        for _ in range(1 + (self._batch - 1) // 4):
            key, items = level.popitem(last=False)
            self.stats.entries -= len(items)
            found.append((key, items))
            if len(level) < 2:
                break
        saved = self._sketch.saved([key for key, _ in found], self.now_s)
        for key, items in found:
            if key in saved:
                self._keep(key, items)
            else:
                self._lose(items)

    def _keep(self, key: bytes, items: dict[bytes, float]) -> None:
        self.stats.entries += len(items)
        for gone in self._kept.put(key, items):
            self.stats.entries -= len(gone)
            self._lose(gone)

    def _lose(self, items: dict[bytes, float]) -> None:
        """Count a key that was forgotten early, and whether that matters."""
        self.stats.evicted_keys += 1
        if self._matters(len(items), self.now_s - next(reversed(items.values()))):
            self.stats.missed_keys += 1

    def _matters(self, count: int, age_s: float) -> bool:
        """Whether it matters to forget a key with so many items, seen so long ago.

        It does where the key was near the threshold, or was seen so lately that a source which reaches the threshold
        just within findtime, at a steady pace, would be forgotten between two of its items.
        """
        is_recent = age_s * self._maxretry < self._findtime_s
        return age_s <= self._findtime_s and (is_recent or 2 * count > self._maxretry)

    def _fullest(self) -> Level | None:
        """Return the level with the most entries, None for single items; none that holds only the key seen last."""
        rest: float = self.stats.entries - self._outside_entries - self._kept.entries - len(self._single)
        two, four, _ = self._multiple
        sizes = _ITEMS_OF_LEVELS[0] * len(two), _ITEMS_OF_LEVELS[1] * len(four)
        best, most = None, len(self._single) if len(self._single) > 1 else 0.0
        for level, size in zip(self._multiple, (*sizes, rest - sum(sizes)), strict=True):
            if size > most and len(level) > 1:
                best, most = level, size
        if most:
            return best
        oldest = min(filter(None, self._multiple), key=_seen_s, default=None)
        if oldest is None or (self._single and self._single_seen_s() < _seen_s(oldest)):
            return None
        return oldest

    def _single_seen_s(self) -> float:
        return float(_TIME.unpack_from(self._single[next(iter(self._single))])[0])

    def _expire(self) -> None:
        """Forget what is older than findtime: at most two keys a level and call, which keeps pace with one new key.

        Then note when there will be more to forget: at once, or when the first of what is left grows too old.
        """
        oldest_s = self.now_s - self._findtime_s
        first_s = self.now_s
        single = self._single
        for _ in range(2):
            if not single:
                break
            time_s = self._single_seen_s()
            if time_s >= oldest_s:
                first_s = min(first_s, time_s)
                break
            single.popitem(last=False)
            self.stats.entries -= 1
        else:
            first_s = float("-inf")
        for level in filter(None, (*self._multiple, self._kept.level)):
            time_s = _seen_s(level)
            first_s = min(first_s, time_s)
            if time_s < oldest_s:
                self._take(next(iter(level)))
        self._expire_at_s = first_s + self._findtime_s

    def _clear(self) -> None:
        self._expire_at_s = float("-inf")
        self._single.clear()
        for level in self._multiple:
            level.clear()
        self._kept.clear()
        self.stats.entries = self._outside_entries

    def _add_to_kept(self, key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note an item of a key that is kept: only a new one keeps it for longer."""
        items = self._kept.level[key]
        is_new = item not in items
        self.stats.entries -= len(items)
        crossing = self._note(items, item, time_s)
        self._kept.changed(key, is_new=is_new)
        if crossing is not None:
            self._kept.take(key)
            return crossing
        self.stats.entries += len(items)
        self._make_room()
        return None

    def _account_outside(self, change: int) -> None:
        self._outside_entries += change
        self.stats.entries += change


def _seen_s(level: Level) -> float:
    """Return when the first key of a level was seen last."""
    return next(reversed(level[next(iter(level))].values()))
