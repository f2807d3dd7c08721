"""The rules of `LevelWindow` in plain words: every step takes a key out and puts it back, levels are lists in order.

Slow on purpose: the window that the daemon uses must do the same, event for event.
"""

from monitor.model.eviction_sketch import EvictionSketch
from monitor.model.window_stats import WindowStats

Items = dict[bytes, float]
_FLOOR = (1, 2, 4, 8)
_ABOUT = (1.0, 2.5, 5.5)


class PlainWindow:
    """Levels of keys with 1, 2 to 3, 4 to 7, 8 and more items; the last one holds keys that came back often."""

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        self.stats = WindowStats()
        self.findtime_s, self.maxretry, self.max_entries = findtime_s, maxretry, max_entries
        self.now_s = self.single_due_s = self.several_due_s = float("-inf")
        self.levels: list[dict[bytes, Items]] = [{}, {}, {}, {}]
        self.kept: dict[bytes, Items] = {}
        self.sketch = EvictionSketch(max_entries, findtime_s)
        self.batch = 1 + max_entries // 1024

    def entries(self, *levels: dict[bytes, Items]) -> int:
        """Return how many items are remembered."""
        return sum(len(items) for level in levels or (*self.levels, self.kept) for items in level.values())

    def add(self, key: bytes, item: bytes, time_s: float) -> tuple[bytes, ...] | None:
        """Note one item; return those that crossed the threshold."""
        if time_s < self.now_s - self.findtime_s:
            self.levels, self.kept = [{}, {}, {}, {}], {}
            self.single_due_s = self.several_due_s = float("-inf")
            self.now_s = time_s
        self.now_s = max(self.now_s, time_s)
        self.expire()
        is_kept, is_new = key in self.kept, item not in self.kept.get(key, {})
        place = list(self.kept).index(key) if is_kept else None
        items = self.take(key)
        items.pop(item, None)
        items[item] = time_s
        for old in list(items):
            if items[old] >= self.now_s - self.findtime_s:
                break
            del items[old]
        self.stats.peak = max(self.stats.peak, len(items))
        if len(items) >= self.maxretry:
            return tuple(items)
        if is_kept:
            others = list(self.kept.items())
            others.insert(len(others) if is_new or place is None else place, (key, items))
            self.kept = dict(others)
        else:
            self.put(key, items)
        self.make_room()
        return None

    def discard(self, key: bytes, item: bytes) -> bool:
        """Take an item back."""
        items = self.take(key)
        found = items.pop(item, None) is not None
        if items:
            self.put(key, items)
        return found

    def take(self, key: bytes) -> Items:
        """Remove a key."""
        return next((level.pop(key) for level in (*self.levels, self.kept) if key in level), {})

    def put(self, key: bytes, items: Items) -> None:
        """Store a key at its level, as the last."""
        self.levels[max(place for place, floor in enumerate(_FLOOR) if len(items) >= floor)][key] = items

    def expire(self) -> None:
        """Forget the first keys that are too old: eight with one item, and one of each other level."""
        oldest_s = self.now_s - self.findtime_s
        if self.now_s > self.single_due_s:
            first_s, expired = self.now_s, 0
            for key, items in list(self.levels[0].items())[:8]:
                if seen_s(items) >= oldest_s:
                    first_s = min(self.now_s, seen_s(items))
                    break
                self.take(key)
                expired += 1
            first_s = float("-inf") if expired == 8 else first_s
            self.single_due_s = first_s + self.findtime_s
        if self.now_s > self.several_due_s:
            firsts = [self.now_s]
            for level in filter(None, (*self.levels[1:], self.kept)):
                key, items = next(iter(level.items()))
                firsts.append(seen_s(items))
                if seen_s(items) < oldest_s:
                    self.take(key)
            self.several_due_s = min(firsts) + self.findtime_s

    def make_room(self) -> None:
        """Forget the first keys of the fullest level, but those that came back often, which are kept."""
        while self.entries() > self.max_entries:
            level = self.fullest()
            part = self.batch if level is self.levels[0] else 1 + (self.batch - 1) // 4
            found = list(level.items())[: min(part, max(1, len(level) - 1))]
            oldest = self.age_s(found[0][1])
            for key, _ in found:
                del level[key]
            saved = self.sketch.saved([key for key, _ in found], self.now_s)
            for key, items in found:
                if key in saved:
                    self.kept[key] = items
                    while self.entries(self.kept) > self.max_entries // 4:
                        gone = self.kept.pop(next(iter(self.kept)))
                        self.lose(len(gone), self.age_s(gone))
                else:
                    self.lose(len(items), oldest if level is self.levels[0] else self.age_s(items))

    def fullest(self) -> dict[bytes, Items]:
        """Return the level with the most entries, of those with more than one key."""
        sizes = [len(level) * about for level, about in zip(self.levels, _ABOUT, strict=False)]
        sizes.append(self.entries(*self.levels) - sum(sizes))
        many = [place for place, level in enumerate(self.levels) if len(level) > 1 and sizes[place] > 0]
        if many:
            return self.levels[max(many, key=sizes.__getitem__)]
        return min(
            filter(None, (*self.levels[1:], self.levels[0])), key=lambda level: seen_s(next(iter(level.values())))
        )

    def lose(self, count: int, age_s: float) -> None:
        """Count a key that is forgotten early."""
        self.stats.evicted_keys += 1
        if age_s <= self.findtime_s and (age_s * self.maxretry < self.findtime_s or 2 * count > self.maxretry):
            self.stats.missed_keys += 1

    def age_s(self, items: Items) -> float:
        """Return how long ago a key was seen."""
        return self.now_s - seen_s(items)


def seen_s(items: Items) -> float:
    """Return when a key was seen last."""
    return next(reversed(items.values()))
