"""Keys with values in the order in which they came, cheap at both ends whatever was deleted in between.

A dict keeps that order, but finding its first key takes time in proportion to the deleted ones before it, and windows
delete there all the time. An OrderedDict finds it at once, but takes four times as long for each key that comes or
goes. So there are two dicts. New keys go to the end of `young`. Where the first is asked for and `old` is empty, `old`
becomes `young` in reverse: its first key is what `popitem` takes from the end.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class AgedKeys(Generic[K, V]):
    """A key is in one of the dicts: `young[key] = value` puts one that is in none. Constant time, amortised."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        """Begin with none."""
        self.young: dict[K, V] = {}
        """Those that came last, the last one at the end."""
        self.old: dict[K, V] = {}
        """Those before them, the first one at the end."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.young) + len(self.old)

    def __contains__(self, key: K) -> bool:
        """Whether a key is there."""
        return key in self.young or key in self.old

    def get(self, key: K) -> V | None:
        """Return the value of a key, None if it is not there."""
        value = self.young.get(key)
        return self.old.get(key) if value is None else value

    def pop(self, key: K) -> V | None:
        """Remove a key and return its value, None if it is not there."""
        value = self.young.pop(key, None)
        return self.old.pop(key, None) if value is None else value

    def pop_first(self, count: int) -> list[tuple[K, V]]:
        """Remove and return the keys that came first: so many, but all but the last at most."""
        count = min(count, max(1, len(self) - 1))
        found: list[tuple[K, V]] = []
        while len(found) < count:
            old = self.old or self.turned()
            found += [old.popitem() for _ in range(min(count - len(found), len(old)))]
        return found

    def pop_while(self, is_over: Callable[[V], bool]) -> list[V]:
        """Remove keys in order, and return their values, up to the first one that is not over."""
        found: list[V] = []
        while old := self.old or self.turned():
            key, value = old.popitem()
            if not is_over(value):
                old[key] = value
                break
            found.append(value)
        return found

    def first(self) -> tuple[K, V]:
        """Return the key that came first, and its value. KeyError if there is none."""
        old = self.old or self.turned()
        # taken out and put back, since that forgets the deleted ones behind it: looking would pass them each time
        key, value = old.popitem()
        old[key] = value
        return key, value

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all, the first first."""
        return chain(reversed(self.old.items()), self.young.items())

    def latest(self) -> Iterator[tuple[K, V]]:
        """Yield all, the last first."""
        return chain(reversed(self.young.items()), self.old.items())

    def clear(self) -> None:
        """Forget all."""
        self.young.clear()
        self.old.clear()

    def turned(self) -> dict[K, V]:
        """Let `old`, which must be empty, be all of `young` in reverse, and return it; it is empty if there is none."""
        if young := self.young:
            self.old = {key: young[key] for key in reversed(young)}
            self.young = {}
        return self.old
