"""Agreement: what one source of events raised an alert for, another may see as well. That is one alert, not two."""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator

import msgspec

_MOST, _MOST_ITEMS = 1024, 256


class Seen(msgspec.Struct):
    """What an alert rests on, and how many of these things each source of events saw."""

    items: dict[bytes, set[str]]
    """By thing counted: who saw it."""
    until_s: float
    is_agreed: bool = False

    def by_witness(self) -> dict[str, int]:
        """Return how many of the things each saw."""
        counts: dict[str, int] = {}
        for witnesses in self.items.values():
            for witness in witnesses:
                counts[witness] = counts.get(witness, 0) + 1
        return counts


class Agreement:
    """Remembers of the last 1,024 keys that alerts were about up to 256 things, for `findtime_s`."""

    def __init__(self, findtime_s: float) -> None:
        """Remember none."""
        self.total = 0
        """Alerts whose offence a second source saw."""
        self._findtime_s = findtime_s
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()

    @property
    def keys(self) -> Container[bytes]:
        """The keys that are remembered; kept up to date."""
        return self._seen

    def lasting(self, findtime_s: float) -> "Agreement":
        """Return the same, which remembers further alerts for another time."""
        made = Agreement(findtime_s)
        made._seen, made.total = self._seen, self.total
        return made

    def alerted(self, key: bytes, items: tuple[bytes, ...], witness: str, time_s: float) -> None:
        """Note an alert, which a witness raised; those of one key add up while they follow each other."""
        seen = self._seen.pop(key, None)
        if seen is None or time_s > seen.until_s:
            seen = Seen({}, 0.0)
        for item in items:
            seen.items.setdefault(item, set()).add(witness)
        while len(seen.items) > _MOST_ITEMS:
            del seen.items[next(iter(seen.items))]
        seen.until_s = time_s + self._findtime_s
        self._seen[key] = seen
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)

    def confirms(self, key: bytes, item: bytes, witness: str, time_s: float) -> bool:
        """Whether this is a thing that another witness raised an alert for: then it is noted, and must not count."""
        seen = self._seen.get(key)
        if seen is None or time_s > seen.until_s:
            return False
        witnesses = seen.items.get(item)
        if witnesses is None or witnesses == {witness}:
            return False
        if not seen.is_agreed:
            seen.is_agreed = True
            self.total += 1
        witnesses.add(witness)
        return True

    def take_back(self, key: bytes, item: bytes) -> int | None:
        """Strike out a thing that was no evidence after all; return how many things are left, None if it was none."""
        seen = self._seen.get(key)
        return None if seen is None or seen.items.pop(item, None) is None else len(seen.items)

    def reviewed(self, is_none: Callable[[bytes, bytes], bool]) -> Iterator[tuple[bytes, int]]:
        """Strike out what `is_none` (key, thing) says is no evidence; yield the keys concerned and what is left."""
        for key, seen in self._seen.items():
            gone = [item for item in seen.items if is_none(key, item)]
            for item in gone:
                del seen.items[item]
            if gone:
                yield key, len(seen.items)

    def witnesses(self, leading: bytes, lengths: tuple[int, ...]) -> dict[str, int]:
        """Return who saw what of the last alert whose key is these bytes and so many more."""
        for key in reversed(self._seen):
            if key.startswith(leading) and len(key) - len(leading) in lengths:
                return self._seen[key].by_witness()
        return {}
