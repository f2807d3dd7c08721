"""A table of the distinct items of each key, bounded in memory, in which neither old keys nor floods shut others out.

Keys are held in levels by their number of items. The fullest level makes room, and in it the key seen longest ago. So
single packets of forged sources push out each other and not a source that is halfway to the threshold, and sources that
are kept halfway push out each other and not a newcomer. A key that comes back again and again although it was evicted
(`eviction_sketch`) is kept from then on. What is lost nevertheless is counted.
"""

import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeAlias

from monitor.model.aged_keys import AgedKeys
from monitor.model.eviction_sketch import EvictionSketch
from monitor.model.kept_keys import KeptKeys
from monitor.model.saved_rows import SavedRow
from monitor.model.window_stats import WindowStats

TIME = struct.Struct("d")
"""The time before a single item."""
ITEM_AT = TIME.size
"""Where a single item starts."""
_BATCHES = 1024
"""A part of the table that is evicted at once, which takes less time than key by key."""
_LEVELS = 4
_ITEMS_OF_LEVELS = 2.5, 5.5
"""Items of a key, about, in the levels for 2 to 3 and for 4 to 7."""

Items: TypeAlias = dict[bytes, float]
"""Items of a key with the time when they were seen, oldest first."""
Level: TypeAlias = AgedKeys[bytes, Items]


class LevelTable:
    """What is remembered, at most `max_entries` items; `LevelWindow` fills it."""

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Make an empty table; `max_entries` must be greater than `maxretry`."""
        if not 1 <= maxretry < max_entries:
            raise ValueError(f"maxretry must lie between 1 and max_entries - 1 ({max_entries - 1}), got {maxretry}")
        self.stats = WindowStats()
        self.now_s = float("-inf")
        """The time of the last item."""
        self._findtime_s = findtime_s
        self._maxretry = maxretry
        self._max_entries = max_entries
        # A single item is packed behind its time into bytes: keys with one item are what floods make.
        self._single: AgedKeys[bytes, bytes] = AgedKeys()
        self._two: Level = AgedKeys()
        """Keys with 2 to 3 items."""
        self._four: Level = AgedKeys()
        self._eight: Level = AgedKeys()
        self._multiple = self._two, self._four, self._eight
        self._several: dict[bytes, Items] = {}
        """The items of all keys in these levels, and of those that are kept: one look-up instead of four."""
        self._kept = KeptKeys(max_entries // 4)
        self._sketch = EvictionSketch(max_entries, findtime_s)
        self._batch = 1 + max_entries // _BATCHES
        """Keys with one item that are evicted at once: a quarter of that of others."""
        self._outside_entries = 0
        """Entries in `stats` that are not in this table, but in tables of single networks."""

    def __len__(self) -> int:
        """Return the number of keys remembered."""
        return len(self._single) + len(self._several)

    def count(self, key: bytes) -> int:
        """Return how many items of this key are remembered."""
        items = self._several.get(key)
        return int(key in self._single) if items is None else len(items)

    def _level(self, count: int) -> Level:
        """Return the level of keys with so many items, of which there are several."""
        return self._two if count < 4 else self._four if count < 8 else self._eight

    def most(self, leading: bytes, extra: tuple[int, ...] = (0,)) -> int:
        """Return the most items of any key that is these bytes and so many more; walks all keys."""
        lengths = {len(leading) + more for more in extra}
        found = (count for key, count in self.counts() if len(key) in lengths and key.startswith(leading))
        return max(found, default=0)

    def counts(self, most: int = sys.maxsize) -> Iterator[tuple[bytes, int]]:
        """Yield the keys of this table with their number of items, of each level about so many that stand for all."""
        step = max(1, len(self._single) // most)
        yield from ((key, step) for key, _ in islice(self._single.items(), None, None, step))
        for level in (*self._multiple, self._kept.level):
            step = max(1, len(level) // most)
            yield from ((key, step * len(items)) for key, items in islice(level.items(), None, None, step))

    def export(self, limit: int) -> list[SavedRow]:
        """Return the items of the keys with the most, at most `limit`; see `SavedWindow`."""
        rows: list[SavedRow] = []
        kept = self._kept.by_count(_LEVELS)
        levels: Iterable[Iterable[tuple[bytes, Items]]] = (*(one.latest() for one in reversed(self._multiple)), ())
        for keys, level in zip(reversed(kept), levels, strict=True):
            for key, items in chain(((key, self._kept.level[key]) for key in keys), level):
                if len(rows) + len(items) > limit:
                    return rows
                rows += [(key, item, time_s) for item, time_s in items.items()]
        for key, single in islice(self._single.latest(), limit - len(rows)):
            rows.append((key, single[ITEM_AT:], TIME.unpack_from(single)[0]))
        return rows

    def _take(self, key: bytes) -> Items | None:
        """Remove and return the items of a key, None if it has none."""
        items = self._several.pop(key, None)
        if items is None:
            single = self._single.pop(key)
            if single is None:
                return None
            items = {single[ITEM_AT:]: TIME.unpack_from(single)[0]}
        elif self._level(len(items)).pop(key) is None:
            self._kept.take(key)
        self.stats.entries -= len(items)
        return items

    def _put(self, key: bytes, items: Items) -> None:
        """Store the items of a key that has none at its level, as the one seen last."""
        count = len(items)
        if count == 1:
            item, time_s = next(iter(items.items()))
            self._single.young[key] = TIME.pack(time_s) + item
        else:
            self._several[key] = items
            self._level(count).young[key] = items
        self.stats.entries += count
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
        is_recent = self._matters(1, self.now_s - self._single_seen_s())
        found = self._single.pop_first(self._batch)
        self.stats.entries -= len(found)
        saved = self._sketch.saved([key for key, _ in found], self.now_s)
        if saved:
            for key, packed in found:
                if key in saved:
                    self._keep(key, {packed[ITEM_AT:]: TIME.unpack_from(packed)[0]})
        lost = len(found) - len(saved)
        self.stats.evicted_keys += lost
        self.stats.missed_keys += lost if is_recent else 0

    def _evict_multiple(self, level: Level) -> None:
        """Do the same with keys of several items."""
        found = level.pop_first(1 + (self._batch - 1) // 4)
        saved = self._sketch.saved([key for key, _ in found], self.now_s)
        for key, items in found:
            del self._several[key]
            self.stats.entries -= len(items)
            if key in saved:
                self._keep(key, items)
            else:
                self._lose(items)

    def _keep(self, key: bytes, items: Items) -> None:
        self.stats.entries += len(items)
        self._several[key] = items
        for gone, lost in self._kept.put(key, items):
            del self._several[gone]
            self.stats.entries -= len(lost)
            self._lose(lost)

    def _lose(self, items: Items) -> None:
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
        singles = len(self._single)
        rest: float = self.stats.entries - self._outside_entries - self._kept.entries - singles
        two, four, _ = self._multiple
        sizes = _ITEMS_OF_LEVELS[0] * len(two), _ITEMS_OF_LEVELS[1] * len(four)
        best, most = None, singles if singles > 1 else 0.0
        for level, size in zip(self._multiple, (*sizes, rest - sum(sizes)), strict=True):
            if size > most and len(level) > 1:
                best, most = level, size
        if most:
            return best
        oldest = min(filter(None, self._multiple), key=seen_s, default=None)
        if oldest is None or (singles and self._single_seen_s() < seen_s(oldest)):
            return None
        return oldest

    def _single_seen_s(self) -> float:
        """Return when the first key with a single item was seen."""
        return float(TIME.unpack_from(self._single.first()[1])[0])

    def _forget_all(self) -> None:
        self._single.clear()
        for level in self._multiple:
            level.clear()
        self._several.clear()
        self._kept.clear()
        self.stats.entries = self._outside_entries


def seen_s(level: Level) -> float:
    """Return when the first key of a level was seen last."""
    return next(reversed(level.first()[1].values()))
