"""Keys of a window that are kept although it is full, because they came back again and again."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

Level: TypeAlias = OrderedDict[bytes, dict[bytes, float]]
"""Items of each key with the time when they were seen, oldest first."""


class KeptKeys:
    """At most `max_entries` items; beyond that, the key that gained no item for the longest time goes first."""

    def __init__(self, max_entries: int) -> None:
        """Keep none."""
        self.level: Level = OrderedDict()
        self.entries = 0
        """Items of all keys."""
        self._counted: dict[bytes, int] = {}
        self._max_entries = max_entries

    def put(self, key: bytes, items: dict[bytes, float]) -> Iterator[tuple[bytes, dict[bytes, float]]]:
        """Keep a key; yield those that make room for it, with their items."""
        self.level[key] = items
        self.changed(key, is_new=False)
        while self.entries > self._max_entries:
            first = next(iter(self.level))
            gone = self.take(first)
            if gone is not None:
                yield first, gone

    def changed(self, key: bytes, *, is_new: bool) -> None:
        """Follow a change of a key's items; `is_new`: it gained one."""
        count = len(self.level[key])
        self.entries += count - self._counted.get(key, 0)
        self._counted[key] = count
        if is_new:
            self.level.move_to_end(key)

    def take(self, key: bytes) -> dict[bytes, float] | None:
        """Remove and return the items of a key, None if it is not kept."""
        items = self.level.pop(key, None)
        if items is not None:
            self.entries -= self._counted.pop(key)
        return items

    def by_count(self, levels: int) -> list[list[bytes]]:
        """Return the keys by their number of items (1, 2 to 3, 4 to 7 and so on), the one that gained last first."""
        found: list[list[bytes]] = [[] for _ in range(levels)]
        for key in reversed(self.level):
            found[min(self._counted[key].bit_length(), levels) - 1].append(key)
        return found

    def clear(self) -> None:
        """Keep none any more."""
        self.level.clear()
        self._counted.clear()
        self.entries = 0
