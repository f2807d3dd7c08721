"""A sliding window that counts distinct things by key, bounded in memory whatever attackers send.

Four rules keep the evidence about each attacker while others fill the window:

1. Keys with few items and keys with many have shares of their own (`level_window`).
2. A key that comes back again and again although it was evicted is kept from then on (`eviction_sketch`).
3. A network that takes more than its share gets a window of its own (`crowds`).
4. What is lost nevertheless is counted, and where it matters reported (`WindowStats.missed_keys`).
"""

from collections import Counter
from collections.abc import Iterable

from monitor.model.crowds import MOST_CROWDS, SHARE, belongs, find_crowds
from monitor.model.level_window import LevelWindow
from monitor.model.saved_rows import SavedRow, recent

_EXAMINED_AFTER = 1024
"""Batches: about as many keys as the window has."""
_SAMPLE = 512
"""Keys of each level that are looked at to find crowds."""


class DistinctWindow(LevelWindow):
    """Counts the distinct items of each key within `findtime_s`; `add` tells when a key reaches `maxretry`.

    At most `max_entries` (key, item) pairs are remembered. Every operation takes constant amortised time.

    Time is the events' own and may be slightly out of order. When it steps back by more than `findtime_s` the clock
    was set: everything remembered is dropped, since it lies in a future that will not come for long.
    """

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int) -> None:
        """Make an empty window; `max_entries` must be greater than `maxretry`."""
        super().__init__(findtime_s=findtime_s, maxretry=maxretry, max_entries=max_entries)
        self._may_split = max_entries // (2 * MOST_CROWDS) > maxretry
        self._examine_in = 0
        """How many batches are evicted before networks are examined again."""

    def discard(self, key: bytes, item: bytes) -> bool:
        """Take an item back that was no evidence after all; return whether it was remembered."""
        if (crowd := self._crowd_of(key)) is None:
            return super().discard(key, item)
        before = crowd.stats.entries
        found = crowd.discard(key, item)
        self._account_outside(crowd.stats.entries - before)
        return found

    def __len__(self) -> int:
        """Return the number of keys remembered."""
        return super().__len__() + sum(map(len, self._crowds.values()))

    def count(self, key: bytes) -> int:
        """Return how many items of this key are remembered."""
        if self._crowds and (crowd := self._crowd_of(key)) is not None:
            return crowd.count(key)
        return super().count(key)

    def most(self, leading: bytes, extra: tuple[int, ...] = (0,)) -> int:
        """Return the most items of any key that is these bytes and so many more; walks all keys."""
        return max(super().most(leading, extra), *(crowd.most(leading, extra) for crowd in self._crowds.values()), 0)

    def export(self, limit: int) -> list[SavedRow]:
        """Return the items of the keys with the most, at most `limit`, in crowds too; see `SavedWindow`.

        A crowd adds no more than its share, so that it does not take the place of others.
        """
        share = min(limit // SHARE, limit // 2 // max(1, len(self._crowds)))
        rows = [row for crowd in self._crowds.values() for row in crowd.export(share)]
        return super().export(limit - len(rows)) + rows

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

    def _make_room(self) -> None:
        """Give networks that take more than their share a window of their own, and evict until there is room."""
        self._examine_in -= 1
        if self._examine_in < 0 and self._may_split:
            self._examine()
        super()._make_room()

    def _examine(self) -> None:
        """Look for networks that take more than their share, and for crowds that are over."""
        self._examine_in = _EXAMINED_AFTER
        for network, crowd in list(self._crowds.items()):
            if abs(self.now_s - crowd.now_s) > self._findtime_s:
                self._end(network)
        for network in find_crowds(self.counts(_SAMPLE)):
            if len(self._crowds) >= MOST_CROWDS:
                self._end(min(self._crowds, key=lambda one: self._crowds[one].now_s))
            self._split(network)
        self.stats.crowds = tuple(self._crowds)

    def _end(self, network: bytes) -> None:
        """Forget a crowd, and what is known of it: it is over, or of more crowds than may be the one that rests."""
        crowd = self._crowds.pop(network)
        self._account_outside(-crowd.stats.entries)
        if abs(self.now_s - crowd.now_s) <= self._findtime_s:
            self.stats.evicted_keys += len(crowd)

    def _split(self, network: bytes) -> None:
        """Move what is known of a network into a window of its own; all of these take half of the whole at most."""
        limit = min(self._max_entries // SHARE, self._max_entries // 2 // (len(self._crowds) + 1))
        crowd = LevelWindow(findtime_s=self._findtime_s, maxretry=self._maxretry, max_entries=limit)
        for key in [key for key, _ in self.counts() if belongs(key, network)]:
            if items := self._take(key):
                crowd.take_over(key, items, self.now_s)
        self._crowds[network] = crowd
        self._account_outside(crowd.stats.entries)
        for one in self._crowds.values():
            before = one.stats.entries
            one.shrink(limit)
            self._account_outside(one.stats.entries - before)
            self.stats.take_from(one.stats)
