"""Decisions of a burst: what did not get a line of its own is gathered, and named in lines of a hundred each. Pure.

A botnet brings ten thousand bans in a second, and an operator who looks for one of its addresses must find it. A line
for each would fill the disk; so lines of a burst share what their networks have in common, and a few of them are
written each second. What waits is bounded; beyond that decisions are only counted.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from monitor.daemon.pipeline.decision_fields import Kind, Member

MAX_NAMES = 16_384
"""Names that wait: half a minute at the rate at which they are written."""
MAX_BULK_NAMES = MAX_NAMES // 2
"""Of these, names from files, lists and peers, which still have them."""
NAMES_PER_LINE = 100
LINES_PER_S = 5


class Burst(NamedTuple):
    """One line of a burst: how severe it is (`logging`), what was done in words, its fields, and to whom."""

    level: int
    words: str
    kind: Kind
    members: tuple[Member, ...]


class Bursts:
    """What waits to be named, by what was done."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[tuple[int, str, Kind], deque[Member]] = {}
        self._names = 0
        self._omitted = 0

    def has_room(self, *, is_bulk: bool = False) -> bool:
        """Whether one more can wait; if not, it is counted."""
        if self._names < (MAX_BULK_NAMES if is_bulk else MAX_NAMES):
            return True
        self._omitted += 1
        return False

    @property
    def is_waiting(self) -> bool:
        """Whether any waits."""
        return self._names > 0

    def add(self, level: int, words: str, kind: Kind, member: Member) -> None:
        """Have one wait; `has_room` was asked before."""
        self._waiting.setdefault((level, words, kind), deque()).append(member)
        self._names += 1

    def take(self, lines: int = LINES_PER_S) -> Iterator[Burst]:
        """Yield the next lines, of all kinds in turn, oldest first."""
        for _ in range(lines):
            if not self._waiting:
                return
            key = next(iter(self._waiting))
            waiting = self._waiting.pop(key)
            members = tuple(waiting.popleft() for _ in range(min(NAMES_PER_LINE, len(waiting))))
            if waiting:
                self._waiting[key] = waiting  # behind the others
            self._names -= len(members)
            yield Burst(*key, members)

    def take_all(self) -> Iterator[Burst]:
        """Yield all that waits: when the daemon stops."""
        return self.take(self._names)

    def take_omitted(self) -> int:
        """Return how many decisions are not named, because too many waited, since the last call."""
        omitted, self._omitted = self._omitted, 0
        return omitted
