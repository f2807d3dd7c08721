"""When bans end: which are due, without looking at those that are not."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence

_PERIOD_S = 1024
"""End times are kept by periods, as plain lists; only those of the current period are in a heap."""


class EndTimes:
    """Keys by the time at which they are due. A key may have several entries: all but its latest time are outdated."""

    def __init__(self) -> None:
        """Start empty."""
        self._later: dict[int, list[bytes]] = {}
        self._due: list[tuple[float, bytes]] = []
        self._period = 0
        self.count = 0
        """The number of entries, outdated ones included."""

    def clear(self) -> None:
        """Remove all entries."""
        self._later, self._due, self.count = {}, [], 0

    @property
    def next_s(self) -> float:
        """No key is due before this time; infinity if none is entered."""
        if self._due:
            return self._due[0][0]
        return min(self._later) * float(_PERIOD_S) if self._later else float("inf")

    def add(self, key: bytes, end_s: float) -> None:
        """Enter a time of a key."""
        period = int(end_s) // _PERIOD_S
        if period > self._period:
            self._later.setdefault(period, []).append(key)
        else:
            heapq.heappush(self._due, (end_s, key))
        self.count += 1

    def add_all(self, keys: Sequence[bytes], ends_s: Iterable[float]) -> None:
        """Enter a time of each key."""
        later, current = self._later, self._period
        for key, end_s in zip(keys, ends_s, strict=True):
            period = int(end_s) // _PERIOD_S
            if period <= current:
                heapq.heappush(self._due, (end_s, key))
            elif (known := later.get(period)) is not None:
                known.append(key)
            else:
                later[period] = [key]
        self.count += len(keys)

    def pop_due(self, now_s: float, end_of: Callable[[bytes], float | None]) -> Iterator[bytes]:
        """Yield and remove the keys that are due by `now_s`; `end_of` gives a key's latest time, None if it has none.

        Keys may be added while this runs.
        """
        period = int(now_s) // _PERIOD_S
        if period > self._period:
            self._period = period
            for passed in [other for other in self._later if other <= period]:
                for key in self._later.pop(passed):
                    if (end_s := end_of(key)) is None:
                        self.count -= 1
                    else:
                        heapq.heappush(self._due, (end_s, key))
        while self._due and self._due[0][0] <= now_s:
            end_s, key = heapq.heappop(self._due)
            self.count -= 1
            if end_of(key) == end_s:
                yield key
