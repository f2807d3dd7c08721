"""What peers sent and nobody has looked at yet: a queue for each peer, served in turn. Bounded; pure.

One peer with a million records delays no other, and its snapshot is complete before later changes of it are looked at.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monitor.fleet.engine import Change

BUSY = 4096
MAX_OF_PEER = 65_536
MAX_WAITING = 262_144


class Begin(NamedTuple):
    """A snapshot begins."""


class End(NamedTuple):
    """A snapshot is complete; `is_cut`: but some of it was dropped, so that nobody knows what ended."""

    is_cut: bool


class _Queue:
    __slots__ = ("is_cut", "items")

    def __init__(self) -> None:
        self.items: deque[Change | Begin | End] = deque()
        self.is_cut = False


class Intake:
    """Queues of changes by peer."""

    def __init__(self, max_of_peer: int = MAX_OF_PEER, max_waiting: int = MAX_WAITING) -> None:
        """Start empty."""
        self._max_of_peer = max_of_peer
        self._max_waiting = max_waiting
        self._queues: dict[str, _Queue] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """Return how much waits."""
        return self._waiting

    @property
    def is_busy(self) -> bool:
        """Whether whoever reads should wait a moment."""
        return self._waiting > BUSY

    def put(self, name: str, changes: Sequence[Change]) -> int:
        """Take changes of a peer; return how many were dropped, since too many wait."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue()
        room = max(0, min(self._max_of_peer - len(queue.items), self._max_waiting - self._waiting))
        queue.items.extend(changes[:room])
        self._waiting += min(room, len(changes))
        dropped = max(0, len(changes) - room)
        queue.is_cut |= dropped > 0
        return dropped

    def put_part(self, name: str, part: Sequence[Change], *, is_first: bool, is_last: bool) -> int:
        """Take a part of a snapshot; return how much of it was dropped."""
        queue = self._queues.setdefault(name, _Queue())
        if is_first:
            queue.items.append(Begin())
            queue.is_cut = False
            self._waiting += 1
        dropped = self.put(name, part)
        if is_last:
            queue.items.append(End(queue.is_cut))
            self._waiting += 1
        return dropped

    def names(self) -> Iterator[str]:
        """Yield the peers of which something waits."""
        yield from self._queues

    def take(self, name: str, limit: int) -> list[Change | Begin | End]:
        """Return the oldest of a peer, up to the end of a snapshot at most: what follows waits until that is done."""
        queue = self._queues.pop(name, None)
        if queue is None:
            return []
        taken: list[Change | Begin | End] = []
        while queue.items and len(taken) < limit:
            item = queue.items.popleft()
            taken.append(item)
            if isinstance(item, End):
                break
        self._waiting -= len(taken)
        if queue.items:
            self._queues[name] = queue  # behind the others
        return taken

    def drop(self) -> None:
        """Drop everything."""
        self._queues.clear()
        self._waiting = 0
