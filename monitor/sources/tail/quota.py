"""Which log files are followed where there are too many: each pattern has its share, in it each owner.

An account that may create files where a pattern looks could otherwise take all places, with files that are written
all the time. Pure.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import TypeVar

from monitor.sources.tail.paths import Match

K = TypeVar("K", bound=Hashable)


def choose(found: Mapping[K, Match], limit: int) -> set[K]:
    """Return the keys of at most `limit` files: patterns take turns, in a pattern owners, and the newest comes first.

    So each pattern has at least its share of `limit` if it leads to as many files, and what one does not need is for
    the others.
    """
    if len(found) <= limit:
        return set(found)
    chosen: set[K] = set()
    turns = deque(_by_pattern(found).values())
    while turns and len(chosen) < limit:
        owners = turns.popleft()
        if (key := _next(owners, chosen)) is not None:
            chosen.add(key)
            turns.append(owners)
    return chosen


def left_out(found: Mapping[K, Match], chosen: set[K]) -> dict[str, int]:
    """Return how many files each pattern leads to that were not chosen; a file counts for one pattern."""
    counts: dict[str, int] = {}
    for key, match in found.items():
        if key not in chosen:
            pattern = match.shares[0][0]
            counts[pattern] = counts.get(pattern, 0) + 1
    return counts


def _by_pattern(found: Mapping[K, Match]) -> dict[str, deque[deque[K]]]:
    """Return the files by pattern and owner, the newest first."""
    order = sorted(found, key=lambda key: (found[key].changed_ns, found[key].path), reverse=True)
    grouped: dict[str, dict[int, deque[K]]] = {}
    for key in order:
        for pattern, owner in found[key].shares:
            grouped.setdefault(pattern, {}).setdefault(owner, deque()).append(key)
    return {pattern: deque(owners.values()) for pattern, owners in sorted(grouped.items())}


def _next(owners: deque[deque[K]], chosen: set[K]) -> K | None:
    """Take the next file of the owner whose turn it is; None if no owner has one that is not chosen yet."""
    while owners:
        files = owners.popleft()
        while files:
            key = files.popleft()
            if key not in chosen:
                owners.append(files)
                return key
    return None
