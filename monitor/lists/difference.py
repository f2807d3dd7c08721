"""What differs between two versions of a list, in parts that are small enough for a transaction each. Pure.

Both versions are walked in order of address. A part ends where no entry of either version goes across, so it can be
carried out alone: what it adds overlaps nothing of the old version that is left.
"""

from collections.abc import Iterator
from typing import NamedTuple

from monitor.lists.columns import Entry, Family, families
from monitor.lists.file import PackedNetworks

PART = 512


class Part(NamedTuple):
    """What to remove and to add, in one transaction; empty where nothing changed. Their order matters."""

    removed: list[Entry]
    added: list[Entry]


def difference(old: PackedNetworks, new: PackedNetworks, limit: int = PART) -> Iterator[Part]:
    """Yield what makes the new version of the old one; `limit` entries are added and as many removed in a part."""
    for before, after in zip(families(old), families(new), strict=True):
        yield from _of_family(before, after, limit)


def _of_family(old: Family, new: Family, limit: int) -> Iterator[Part]:
    first_old = first_new = 0
    count_old, count_new = len(old.lengths), len(new.lengths)
    while first_old < count_old or first_new < count_new:
        after_old, after_new = min(first_old + limit, count_old), min(first_new + limit, count_new)
        ends = [
            family.end(after - 1)
            for family, after, count in ((old, after_old, count_old), (new, after_new, count_new))
            if after < count
        ]
        if ends:
            boundary = _uncrossed(min(ends), old, new)
            after_old, after_new = old.first_from(boundary), new.first_from(boundary)
        if _is_same(old, (first_old, after_old), new, (first_new, after_new)):
            yield Part([], [])
        else:
            yield from _between(old.entries(first_old, after_old), new.entries(first_new, after_new), limit)
        first_old, first_new = after_old, after_new


def _uncrossed(boundary: int, old: Family, new: Family) -> int:
    """Return the first number from `boundary` on that is inside no entry, or the first of one."""
    for family in (old, new, old):
        index = family.around(boundary)
        if index is not None and family.starts[index] < boundary:
            boundary = family.end(index)
    return boundary


def _is_same(old: Family, of_old: tuple[int, int], new: Family, of_new: tuple[int, int]) -> bool:
    """Whether two stretches have the same entries; without an object for each."""
    one, other = slice(*of_old), slice(*of_new)
    return old.lengths[one] == new.lengths[other] and old.starts[one] == new.starts[other]


def _between(old: list[Entry], new: list[Entry], limit: int) -> Iterator[Part]:
    """Yield the difference of two short stretches; where it is long (a wide network was split), removals come first."""
    kept = set(old).intersection(new) if old else ()
    removed = [entry for entry in old if entry not in kept]
    added = [entry for entry in new if entry not in kept] if kept else new
    for start in range(0, max(0, len(removed) - limit), limit):
        yield Part(removed[start : start + limit], [])
    done = max(0, -(-(len(removed) - limit) // limit)) * limit
    yield Part(removed[done:], added[:limit])
    for start in range(limit, len(added), limit):
        yield Part([], added[start : start + limit])
