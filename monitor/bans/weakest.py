"""Which bans are the weakest: where there is no room, they yield."""

import bisect
import heapq
from collections.abc import Container, Mapping
from typing import TypeAlias

from monitor.bans.claims import Claims, rank
from monitor.bans.counts import kind_of
from monitor.model.bans import Ban, Mode

_LEAST_CANDIDATES, _CANDIDATES_SHARE = 512, 32
"""A search finds 512 bans, or one in 32 of all if these are more, since it walks all of them."""

Candidate: TypeAlias = tuple[int, float, bytes]
"""Rank, end and key of a ban that may have to yield."""


class WeakestBans:
    """Remembers the weakest bans in force, of all kinds and of each kind that was asked for."""

    def __init__(self, bans: Mapping[bytes, Ban], claims: Mapping[bytes, Claims]) -> None:
        """Take the ledger's bans by key, and the claims of those that have more than one."""
        self._bans = bans
        self._claims = claims
        self._found: dict[int | None, list[Candidate]] = {}

    def forget(self) -> None:
        """Search anew when one is asked for: many bans changed."""
        self._found.clear()

    def offer(self, key: bytes, ban: Ban, claims: Claims) -> None:
        """Take a new ban in force into account."""
        if not self._found:
            return
        entry = rank(ban, claims), ban.until_s, key
        for kind in (None, kind_of(ban)):
            candidates = self._found.get(kind)
            if candidates and entry < candidates[0]:
                bisect.insort(candidates, entry, key=lambda one: (-one[0], -one[1]))
                del candidates[: max(0, len(candidates) - 2 * self._limit)]

    def find(self, kind: int | None, lowest: int, below: int, taken: Container[bytes]) -> Ban | None:
        """Return the ban that yields first, of a rank below `below`; None without one.

        `kind`: only of this kind; None: of all. `lowest` is the lowest rank that any of them has. `taken`: not these,
        by `ban_key`.
        """
        for is_fresh in (False, True):
            if is_fresh:
                self._found[kind] = self._search(kind, taken)
            candidates = self._found.get(kind, [])
            while candidates:
                its_rank, until_s, key = candidates.pop()
                ban = self._bans.get(key)
                if ban is None or ban.until_s != until_s or self._rank(key, ban) != its_rank or key in taken:
                    continue
                if its_rank == lowest or (is_fresh and its_rank < below):
                    return ban
                candidates.append((its_rank, until_s, key))
                break  # all that are left are stronger
        return None

    def _rank(self, key: bytes, ban: Ban) -> int:
        claims = self._claims.get(key)
        return rank(ban) if claims is None else rank(ban, claims)

    def _search(self, kind: int | None, taken: Container[bytes]) -> list[Candidate]:
        """Return the weakest bans, the very weakest last."""
        ranked = (
            (self._rank(key, ban), ban.until_s, key)
            for key, ban in self._bans.items()
            if ban.mode is Mode.ENFORCE and (kind is None or kind_of(ban) == kind) and key not in taken
        )
        return heapq.nsmallest(self._limit, ranked)[::-1]

    @property
    def _limit(self) -> int:
        return max(_LEAST_CANDIDATES, len(self._bans) // _CANDIDATES_SHARE)
