"""A sliding window over the distinct items of each key: notes them, and forgets what is too old."""

from monitor.model.crowds import networks_of
from monitor.model.level_table import ITEM_AT, TIME, Items, LevelTable
from monitor.model.window_stats import Crossing

_EXPIRED_AT_ONCE = 8
"""Keys with one item that are forgotten at once, where so many are too old."""
_pack_time = TIME.pack
_unpack_time = TIME.unpack_from


class LevelWindow(LevelTable):
    """The distinct items of each key within `findtime_s`, at most `max_entries` in total; see DistinctWindow."""

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Make an empty window; `max_entries` must be greater than `maxretry`."""
        super().__init__(findtime_s=findtime_s, maxretry=maxretry, max_entries=max_entries)
        self._expire_at_s = self._single_due_s = self._several_due_s = float("-inf")
        self._crowds: dict[bytes, LevelWindow] = {}
        """The windows of networks that have one of their own; see DistinctWindow."""

    def add(self, key: bytes, item: bytes, time_s: float) -> Crossing | None:  # noqa: C901 - all is in one call
        """Note one item of a key; return what crossed the threshold (and forget the key), else None."""
        if self._crowds and (crowd := self._crowd_of(key)) is not None:
            return self._add_to_crowd(crowd, key, item, time_s)
        now_s = self.now_s
        if time_s > now_s:
            self.now_s = now_s = time_s
        elif time_s < now_s - self._findtime_s:
            self._clear()
            self.now_s = now_s = time_s
        if now_s > self._expire_at_s:
            self._expire()
        items = self._several.get(key)
        if items is not None:
            return self._add_to_several(key, items, item, time_s)
        single, stats = self._single, self.stats
        packed = single.young.pop(key, None)
        if packed is None and single.old:
            packed = single.old.pop(key, None)
        if packed is not None:
            return self._add_second(key, packed, item, time_s)
        if not stats.peak:
            stats.peak = 1
        if self._maxretry == 1:
            return Crossing((item,), time_s, time_s)
        single.young[key] = _pack_time(time_s) + item
        stats.entries += 1
        if stats.entries > self._max_entries:
            self._make_room()
        return None

    def _add_second(self, key: bytes, packed: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note an item of a key that was just taken out with its single one."""
        first, first_s, stats = packed[ITEM_AT:], _unpack_time(packed)[0], self.stats
        if first == item or first_s < self.now_s - self._findtime_s:
            self._single.young[key] = _pack_time(time_s) + item
            stats.peak = max(1, stats.peak)
            return None
        if stats.peak < 2:
            stats.peak = 2
        if self._maxretry <= 2:
            stats.entries -= 1
            return Crossing((first, item), min(first_s, time_s), time_s)
        self._several[key] = self._two.young[key] = {first: first_s, item: time_s}
        stats.entries += 1
        if stats.entries > self._max_entries:
            self._make_room()
        return None

    def _add_to_several(self, key: bytes, items: Items, item: bytes, time_s: float) -> Crossing | None:
        """Note an item of a key that has several, or is kept."""
        before, stats = len(items), self.stats
        level = self._two if before < 4 else self._four if before < 8 else self._eight
        if level.young.pop(key, None) is None and level.old.pop(key, None) is None:
            return self._add_to_kept(key, item, time_s)
        items.pop(item, None)
        items[item] = time_s
        if next(iter(items.values())) < self.now_s - self._findtime_s:
            self._drop_old(items)
        count = len(items)
        if count > stats.peak:
            stats.peak = count
        if count >= self._maxretry or count == 1:
            del self._several[key]
            stats.entries -= before
            if count > 1:
                return Crossing(tuple(items), min(items.values()), time_s)
            self._put(key, items)
            return None
        level = self._two if count < 4 else self._four if count < 8 else self._eight
        level.young[key] = items
        stats.entries += count - before
        if stats.entries > self._max_entries:
            self._make_room()
        return None

    def _add_to_kept(self, key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note an item of a key that is kept: only a new one keeps it for longer."""
        items = self._kept.level[key]
        is_new = item not in items
        self.stats.entries -= len(items)
        items.pop(item, None)
        items[item] = time_s
        self._drop_old(items)
        count = len(items)
        self.stats.peak = max(count, self.stats.peak)
        self._kept.changed(key, is_new=is_new)
        if count >= self._maxretry:
            self._kept.take(key)
            del self._several[key]
            return Crossing(tuple(items), min(items.values()), time_s)
        self.stats.entries += count
        self._make_room()
        return None

    def _drop_old(self, items: Items) -> None:
        oldest_s = self.now_s - self._findtime_s
        while next(iter(items.values())) < oldest_s:
            del items[next(iter(items))]

    def discard(self, key: bytes, item: bytes) -> bool:
        """Take an item back that was no evidence after all; return whether it was remembered."""
        items = self._take(key)
        if items is None:
            return False
        found = items.pop(item, None) is not None
        if items:
            self._put(key, items)
        return found

    def take_over(self, key: bytes, items: Items, now_s: float) -> None:
        """Take in a key from another table."""
        self.now_s = max(self.now_s, now_s)
        self._put(key, items)

    def shrink(self, max_entries: int) -> None:
        """Remember no more than this from now on; never grows."""
        self._max_entries = min(self._max_entries, max_entries)
        self._make_room()

    def _expire(self) -> None:
        """Forget what is older than findtime, as far as it is due: a few keys a call, which keeps pace with new ones.

        Then note when there will be more to forget: at once, or when the first of what is left grows too old.
        """
        now_s, findtime_s = self.now_s, self._findtime_s
        if now_s > self._single_due_s:
            self._single_due_s = self._expire_single(now_s, now_s - findtime_s) + findtime_s
        if now_s > self._several_due_s:
            self._several_due_s = self._expire_several(now_s, now_s - findtime_s) + findtime_s
        self._expire_at_s = min(self._single_due_s, self._several_due_s)

    def _expire_single(self, now_s: float, oldest_s: float) -> float:
        """Forget keys of one item; return when the first that is left was seen at the latest, -inf if nobody looked."""
        single = self._single
        for _ in range(_EXPIRED_AT_ONCE):
            old = single.old or single.turned()
            if not old:
                return now_s
            key, packed = old.popitem()
            time_s: float = _unpack_time(packed)[0]
            if time_s >= oldest_s:
                old[key] = packed
                return min(now_s, time_s)
            self.stats.entries -= 1
        return float("-inf")

    def _expire_several(self, now_s: float, oldest_s: float) -> float:
        """Do the same with other keys: one of each level that has any, and one that is kept."""
        first_s = now_s
        for level in self._multiple:
            old = level.old or level.turned()
            if not old:
                continue
            key, items = old.popitem()
            time_s = next(reversed(items.values()))
            first_s = min(first_s, time_s)
            if time_s < oldest_s:
                del self._several[key]
                self.stats.entries -= len(items)
            else:
                old[key] = items
        if kept := self._kept.level:
            key = next(iter(kept))
            time_s = next(reversed(kept[key].values()))
            first_s = min(first_s, time_s)
            if time_s < oldest_s:
                self._take(key)
        return first_s

    def _clear(self) -> None:
        self._expire_at_s = self._single_due_s = self._several_due_s = float("-inf")
        self._forget_all()

    def _crowd_of(self, key: bytes) -> "LevelWindow | None":
        narrow, wide = networks_of(key)
        crowd = self._crowds.get(narrow)
        return self._crowds.get(wide) if crowd is None else crowd

    def _add_to_crowd(self, crowd: "LevelWindow", key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Note an item of a key in the window of its crowd."""
        stats, part = self.stats, crowd.stats
        before = part.entries
        crossing = crowd.add(key, item, time_s)
        if part.entries != before:
            self._account_outside(part.entries - before)
            if stats.entries > self._max_entries:
                self._make_room()
        if part.evicted_keys or part.peak > stats.peak:
            stats.take_from(part)
        return crossing

    def _account_outside(self, change: int) -> None:
        self._outside_entries += change
        self.stats.entries += change
