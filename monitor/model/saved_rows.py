"""What bounded windows keep over a restart: rows of one shape, whatever a window counts."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

SavedRow: TypeAlias = tuple[bytes, bytes, float]
"""A key, what is known of it (an item, a bitmap, a number), and when that was (wall time, seconds)."""

_NUMBER_BYTES = 8
_MAX_NUMBER = (1 << 8 * _NUMBER_BYTES) - 1


class SavedWindow(Protocol):
    """A window that outlives a restart. Taking rows back raises no alert, whatever they say."""

    def export(self, limit: int) -> Sequence[SavedRow]:
        """Return at most this many rows, of the keys with the most first; takes time in proportion to what is kept."""
        ...

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Remember rows of an earlier run as if they had just been counted; too old and future ones are dropped."""
        ...


class CountingWindow(SavedWindow, Protocol):
    """A window of a detector."""

    def count(self, key: bytes) -> int:
        """Return how much is remembered of a key."""
        ...


def number_row(key: bytes, number: int, time_s: float) -> SavedRow:
    """Return a row of a number, which is cut to 64 bits."""
    return key, min(number, _MAX_NUMBER).to_bytes(_NUMBER_BYTES), time_s


def read_number(value: bytes) -> int:
    """Return the number of a row."""
    return int.from_bytes(value[:_NUMBER_BYTES])


def largest(numbers: Iterable[tuple[bytes, int, float]], limit: int) -> list[SavedRow]:
    """Return rows of the largest numbers."""
    return [number_row(*one) for one in heapq.nlargest(limit, numbers, key=lambda one: one[1])]


def recent(rows: Iterable[SavedRow], findtime_s: float, now_s: float) -> Iterator[SavedRow]:
    """Yield the rows that still count, oldest first."""
    yield from sorted((row for row in rows if now_s - findtime_s < row[2] <= now_s), key=lambda row: row[2])
