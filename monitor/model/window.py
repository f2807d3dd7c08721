"""A sliding window that counts distinct things by key, bounded in memory whatever attackers send."""

import itertools
import struct
from collections import Counter, OrderedDict
from collections.abc import Iterable

import msgspec

from monitor.model.saved_rows import SavedRow, recent

_TIME = struct.Struct("d")
_LEVELS = 4


class Crossing(msgspec.Struct, frozen=True, gc=False):
    """A key reached the threshold: the distinct items, oldest first, and when the first and the last were seen."""

    items: tuple[bytes, ...]
    first_s: float
    last_s: float


class WindowStats(msgspec.Struct):
    """What a window counted."""

    evicted_keys: int = 0
    """Keys forgotten early because the window was full: evidence lost."""
    entries: int = 0
    """(key, item) pairs remembered now."""
    peak: float = 0
    """The highest count of any key since the last `turn`."""
    previous_peak: float = 0
    turns: int = 0

    @property
    def busiest(self) -> float:
        """The highest count of any key lately."""
        return max(self.peak, self.previous_peak)

    def turn(self) -> None:
        """Begin the next minute: what was highest in the one that ends still counts in it, and no longer."""
        self.previous_peak, self.peak = self.peak, 0
        self.turns += 1


class DistinctWindow:
    """Counts the distinct items of each key within `findtime_s`; `add` tells when a key reaches `maxretry`.

    At most `max_entries` (key, item) pairs are remembered. When that is full, the key with the fewest items goes
    first and among those the one seen longest ago: a flood of forged sources with a packet or two each can push out
    other such sources, but not somebody who is halfway to the threshold. Every operation takes constant amortised time.

    Time is the events' own and may be slightly out of order. When it steps back by more than `findtime_s` the clock
    was set: everything remembered is dropped, since it lies in a future that will not come for long.
    """

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Make an empty window; `max_entries` must be greater than `maxretry`."""
        if not 1 <= maxretry < max_entries:
            raise ValueError(f"maxretry must lie between 1 and max_entries - 1 ({max_entries - 1}), got {maxretry}")
        self.stats = WindowStats()
        self._findtime_s = findtime_s
        self._maxretry = maxretry
        self._max_entries = max_entries
        self._now_s = float("-inf")
        self._expire_at_s = float("-inf")
        # By number of items: 1, 2-3, 4-7, 8 and more; in each the key seen longest ago first. A single item is packed
        # behind its time into bytes: keys with one item are what floods make. OrderedDict, because finding the first
        # key of a dict takes time in proportion to the deleted ones before it.
        self._single: OrderedDict[bytes, bytes] = OrderedDict()
        self._multiple: tuple[OrderedDict[bytes, dict[bytes, float]], ...] = tuple(
            OrderedDict() for _ in range(_LEVELS - 1)
        )

    def add(self, key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note one item of a key; return what crossed the threshold (and forget the key), else None."""
        if time_s < self._now_s - self._findtime_s:
            self._clear()
            self._now_s = time_s
        elif time_s > self._now_s:
            self._now_s = time_s
        if self._now_s >= self._expire_at_s:
            self._expire()
        items = self._take(key)
        if items is None:
            if not self.stats.peak:
                self.stats.peak = 1
            if self._maxretry == 1:
                return Crossing((item,), time_s, time_s)
            self._single[key] = _TIME.pack(time_s) + item
            self._grow(1)
            return None
        items.pop(item, None)
        items[item] = time_s
        oldest_s = self._now_s - self._findtime_s
        while next(iter(items.values())) < oldest_s:
            del items[next(iter(items))]
        count = len(items)
        if count > self.stats.peak:
            self.stats.peak = count
        if count >= self._maxretry:
            return Crossing(tuple(items), min(items.values()), time_s)
        self._put(key, items)
        return None

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
        return len(self._single) + sum(map(len, self._multiple))

    def count(self, key: bytes) -> int:
        """Return how many items of this key are remembered."""
        if key in self._single:
            return 1
        return next((len(level[key]) for level in self._multiple if key in level), 0)

    def most(self, leading: bytes, extra: tuple[int, ...] = (0,)) -> int:
        """Return the most items of any key that is these bytes and so many more; walks all keys."""
        lengths = {len(leading) + more for more in extra}
        counts = [1 for key in self._single if len(key) in lengths and key.startswith(leading)]
        for level in self._multiple:
            counts += [len(items) for key, items in level.items() if len(key) in lengths and key.startswith(leading)]
        return max(counts, default=0)

    def export(self, limit: int) -> list[SavedRow]:
        """Return the items of the keys with the most, at most `limit`; see `SavedWindow`."""
        rows: list[SavedRow] = []
        for level in reversed(self._multiple):
            for key in reversed(level):
                items = level[key]
                if len(rows) + len(items) > limit:
                    return rows
                rows += [(key, item, time_s) for item, time_s in items.items()]
        for key in itertools.islice(reversed(self._single), limit - len(rows)):
            single = self._single[key]
            rows.append((key, single[8:], _TIME.unpack_from(single)[0]))
        return rows

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Remember items of an earlier run; a key stays one short of the threshold at least, so nothing is alerted."""
        left: Counter[bytes] = Counter()
        kept = list(recent(rows, self._findtime_s, now_s))
        for index in reversed(range(len(kept))):
            left[kept[index][0]] += 1
            if left[kept[index][0]] >= self._maxretry:
                del kept[index]
        for key, item, time_s in kept:
            self.add(key, item, time_s)

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
        return None

    def _put(self, key: bytes, items: dict[bytes, float]) -> None:
        """Store the items of a key at its level, as the one seen last."""
        if len(items) == 1:
            item, time_s = next(iter(items.items()))
            self._single[key] = _TIME.pack(time_s) + item
        else:
            self._multiple[min(len(items).bit_length() - 2, _LEVELS - 2)][key] = items
        self._grow(len(items))

    def _grow(self, by: int) -> None:
        """Account for new entries and make room if they are too many."""
        stats = self.stats
        stats.entries += by
        while stats.entries > self._max_entries:
            stats.evicted_keys += 1
            if self._single:
                self._single.popitem(last=False)
                stats.entries -= 1
            else:
                level = next(level for level in self._multiple if level)
                stats.entries -= len(level.popitem(last=False)[1])

    def _expire(self) -> None:
        """Forget what is older than findtime: at most two keys a level and call, which keeps pace with one new key.

        Then note when there will be more to forget: at once, or when the first of what is left grows too old.
        """
        oldest_s = self._now_s - self._findtime_s
        first_s = self._now_s
        single = self._single
        for _ in range(2):
            if not single:
                break
            time_s = _TIME.unpack_from(single[next(iter(single))])[0]
            if time_s >= oldest_s:
                first_s = min(first_s, time_s)
                break
            single.popitem(last=False)
            self.stats.entries -= 1
        else:
            first_s = float("-inf")
        for level in filter(None, self._multiple):
            time_s = next(reversed(level[next(iter(level))].values()))
            first_s = min(first_s, time_s)
            if time_s < oldest_s:
                self.stats.entries -= len(level.popitem(last=False)[1])
        self._expire_at_s = first_s + self._findtime_s

    def _clear(self) -> None:
        self._expire_at_s = float("-inf")
        self._single.clear()
        for level in self._multiple:
            level.clear()
        self.stats.entries = 0
