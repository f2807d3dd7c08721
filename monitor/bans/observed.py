"""Observed entries: what would have been banned, in rings of their own. They take no room from what is in force.

Forged sources beyond the budget are observed by the hundred thousand. Each strength has a ring: entries that anyone can
forge displace each other only. What only files, lists and peers name comes by the hundred thousand, too, and has rings
of its own.
"""

from collections import OrderedDict

from monitor.model.alerts import Strength
from monitor.model.bans import STRENGTHS

MAX_OBSERVED = 8192
"""Entries of each strength that are only observed; of more the ones entered or renewed longest ago are dropped."""
_REPORTED_S = 60.0


class ObservedRings:
    """The keys (`ban_key`) of observed entries by strength, oldest first."""

    def __init__(self, max_each: int) -> None:
        """Start empty; `max_each` bounds the entries of each strength."""
        self.max_each = max_each
        self.evicted = dict.fromkeys(Strength, 0)
        """How many entries were dropped before their end."""
        self._evicted_at_s: dict[Strength, float] = {}
        self._rings: tuple[OrderedDict[bytes, None], ...] = tuple(OrderedDict() for _ in (*STRENGTHS, *STRENGTHS))

    def add(self, key: bytes, *, is_bulk: bool = False) -> bytes | None:
        """Enter an entry as the newest; return the one that has to go for it.

        `is_bulk`: only origins name it that come by the thousand.
        """
        self.discard(key)
        ring = self._rings[key[-1] + len(STRENGTHS) * is_bulk]
        ring[key] = None
        ring.move_to_end(key)
        return next(iter(ring)) if len(ring) > self.max_each else None

    def discard(self, key: bytes) -> None:
        """Forget an entry that is over."""
        for number in (key[-1], key[-1] + len(STRENGTHS)):
            self._rings[number].pop(key, None)

    def note_eviction(self, strength: Strength, now_s: float) -> None:
        """Count an entry that was dropped before its end."""
        self.evicted[strength] += 1
        self._evicted_at_s[strength] = now_s

    def crowded(self, now_s: float) -> list[Strength]:
        """Return the strengths of which entries were dropped within the last minute."""
        return [one for one, time_s in self._evicted_at_s.items() if 0 <= now_s - time_s < _REPORTED_S]
