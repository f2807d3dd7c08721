"""The ledger: which bans are in force, who claims them, and when they end."""

import bisect
import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import TypeAlias

import msgspec

from monitor.bans.claims import effective, is_bulk, rank, with_claim
from monitor.bans.notes import Notes
from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, Ban, ClaimOrigin, Mode, ban_key

SHAPES = 4
"""Addresses and prefixes of both families."""
_KINDS = SHAPES * 2 * len(Strength)
_RANKS = 1 + len(ClaimOrigin)
_PERIOD_S = 1024
"""Ends are kept by periods, as plain lists; only those of the current period are in a heap."""
_MAX_CANDIDATES = 512
"""Bans that one search for the weakest finds: a search walks all bans."""

Claims: TypeAlias = tuple[Ban, ...]
Candidate: TypeAlias = tuple[int, float, bytes]
"""Rank, end and key of a ban that may have to yield."""


class Ledger(Notes):
    """Bans by network and strength, at most `max_bans`; knows which end when.

    The strengths of one network are apart, as in the kernel's sets: forged evidence must not lengthen a ban that rests
    on proof. A network of one strength may have several claims (`monitor.bans.claims`); most have one, which then is
    the ban itself. In addition, bounded notes of what happened to the addresses seen last.
    """

    def __init__(self, *, max_bans: int, max_prefixes: int = MAX_PREFIXES) -> None:
        """Make an empty ledger; `max_prefixes` bounds the prefixes in force of each strength and family."""
        super().__init__()
        self.max_bans = max_bans
        self.max_prefixes = max_prefixes
        self._bans: dict[bytes, Ban] = {}
        self._claims: dict[bytes, Claims] = {}
        """Of those that have more than one."""
        self._ends: dict[int, list[bytes]] = {}
        self._due: list[tuple[float, bytes]] = []
        self._period = 0
        self._end_count = 0
        self._shapes: Counter[tuple[int, int]] = Counter()
        self._counts = [0] * (2 * _KINDS)
        self._ranks = [[0] * _RANKS for _ in range(_KINDS)]
        """How many bans of each kind have each rank."""
        self._weakest: dict[int | None, list[Candidate]] = {}

    def __len__(self) -> int:
        """Return the number of bans, observed ones included."""
        return len(self._bans)

    @property
    def is_full(self) -> bool:
        """Whether a further network needs another one to yield."""
        return len(self._bans) >= self.max_bans

    @property
    def max_bulk(self) -> int:
        """How many bans imports, lists and peers may hold: a quarter is kept for detectors and operators."""
        return self.max_bans - -(-self.max_bans // 4)

    @property
    def bulk(self) -> int:
        """How many bans only imports, lists and peers claim."""
        return sum(self._counts[_KINDS:])

    def get(self, network: Network, strength: Strength) -> Ban | None:
        """Return the ban of exactly this network and strength."""
        return self._bans.get(ban_key(network, strength))

    def claims(self, network: Network, strength: Strength) -> Claims:
        """Return who claims it, in the order in which they came; those that have ended may still be there."""
        return self.claims_of(ban_key(network, strength))

    def holders(self, network: Network) -> list[Ban]:
        """Return all claims of exactly this network, in every strength."""
        return [claim for strength in Strength for claim in self.claims(network, strength)]

    def claims_of(self, key: bytes) -> Claims:
        """Return the claims behind `monitor.model.bans.ban_key`."""
        ban = self._bans.get(key)
        return () if ban is None else self._claims.get(key, (ban,))

    def prefix_lengths(self, network: Network) -> list[int]:
        """Return the lengths of the banned prefixes that could be around a network, its own too; longest first."""
        lengths = {length for bits, length in self._shapes if bits == network.bits and length < network.prefix_length}
        return [network.prefix_length, *sorted(lengths, reverse=True)]

    def covering(self, network: Network) -> list[Ban]:
        """Return the bans of this network and of the prefixes around it, narrowest first."""
        keys = [
            ban_key(network_of(network.address, length), strength)
            for length in self.prefix_lengths(network)
            for strength in Strength
        ]
        return [self._bans[key] for key in keys if key in self._bans]

    def put(self, claim: Ban, now_s: float = 0.0) -> Ban:
        """Enter a claim, in place of the earlier one of its origin; return what the network's claims amount to."""
        key = ban_key(claim.network, claim.strength)
        known = self._bans.get(key)
        if known is None:
            self._enter(key, claim)
            return claim
        claims = with_claim(self._claims.get(key, (known,)), claim)
        ban = effective(claims, now_s) or claim
        self._replace(key, ban, claims)
        return ban

    def remove(self, network: Network, strength: Strength) -> tuple[Ban, Claims] | None:
        """Strike a ban out with all its claims; return both, None if there was none."""
        return self._strike(ban_key(network, strength))

    def withdraw(
        self, network: Network, strength: Strength, which: Callable[[Ban], bool], now_s: float
    ) -> tuple[Ban, Claims, Ban | None] | None:
        """End some claims; return the ban before, these claims, and what the others amount to. None: no such claim."""
        key = ban_key(network, strength)
        claims = self.claims_of(key)
        gone = tuple(claim for claim in claims if which(claim))
        if not gone:
            return None
        before = self._bans[key]
        kept = tuple(claim for claim in claims if not which(claim))
        after = effective(kept, now_s) if kept else None
        if after is None:
            self._strike(key)
        else:
            self._replace(key, after, kept)
        return before, gone, after

    def expire(self, now_s: float) -> list[tuple[Ban, Claims, Ban | None]]:
        """Strike out the claims that ended by `now_s`; return for each ban what it was, these claims, what remains.

        A ban that from now on is only observed has ended: nothing remains of it.
        """
        period = int(now_s) // _PERIOD_S
        if period > self._period:
            self._period = period
            for passed in [other for other in self._ends if other <= period]:
                for key in self._ends.pop(passed):
                    if key in self._bans:
                        heapq.heappush(self._due, (self._next_end(key), key))
        ended = []
        while self._due and self._due[0][0] <= now_s:
            until_s, key = heapq.heappop(self._due)
            self._end_count -= 1
            ban = self._bans.get(key)
            if ban is None or self._next_end(key) != until_s:  # it was replaced
                continue
            claims = self.claims_of(key)
            self._strike(key)
            rest = tuple(claim for claim in claims if claim.until_s > now_s)
            if (after := effective(rest, now_s)) is not None:
                self._enter(key, after, rest)
            remaining = after if after is not None and after.mode is ban.mode else None
            ended.append((ban, tuple(claim for claim in claims if claim.until_s <= now_s), remaining))
        return ended

    def shift(self, step_s: float, last_read_s: float, now_s: float) -> list[Ban]:
        """Follow the wall clock, which was set by `step_s` since it was last read: bans keep the time they had left.

        Claims that began between that reading and now, by the clock as it is now, were made after it was set. Returns
        the claims that moved.
        """
        self._ends, self._due, self._end_count, self._period = {}, [], 0, 0
        self._weakest.clear()
        moved: list[Ban] = []

        def follow(claim: Ban) -> Ban:
            if last_read_s < claim.since_s <= now_s:
                return claim
            later = msgspec.structs.replace(claim, since_s=claim.since_s + step_s, until_s=claim.until_s + step_s)
            moved.append(later)
            return later

        for key in list(self._bans):
            claims = tuple(map(follow, self.claims_of(key)))
            self._replace(key, effective(claims, now_s) or claims[0], claims)
        return moved

    def bans(self) -> Iterable[Ban]:
        """Return all bans, in no order."""
        return self._bans.values()

    def all_claims(self) -> Iterable[Ban]:
        """Yield every claim, in no order."""
        for key in self._bans:
            yield from self.claims_of(key)

    def count(self, mode: Mode, strength: Strength) -> int:
        """Return how many bans of this kind there are."""
        first = SHAPES * (2 * strength.number + (mode is Mode.ENFORCE))
        return sum(self._counts[first : first + SHAPES]) + sum(self._counts[_KINDS + first : _KINDS + first + SHAPES])

    def count_in_set(self, strength: Strength, bits: int, *, prefixes: bool, bulk_only: bool = False) -> int:
        """Return how many bans in force are of this strength and family (32 or 128 bits), of addresses or prefixes.

        `bulk_only`: those that only imports, lists and peers claim.
        """
        kind = SHAPES * (2 * strength.number + 1) + 2 * (bits == 128) + prefixes
        return self._counts[_KINDS + kind] + (0 if bulk_only else self._counts[kind])

    def weakest(self, below: int, like: Ban | None = None, taken: Container[bytes] = ()) -> Ban | None:
        """Return the ban that yields first: of the lowest origin, with the shortest remaining time; None if all stay.

        Only bans of a rank below `below` yield. `like`: only those of the kind (strength, family, shape) of this one.
        `taken`: not these, by `ban_key`. Many calls cost one walk over all bans, and none where nobody is weaker.
        """
        kind = None if like is None else _kind(like)
        counts = [sum(column) for column in zip(*self._ranks, strict=True)] if kind is None else self._ranks[kind]
        lowest = next((its_rank for its_rank, count in enumerate(counts) if count), below)
        if lowest >= below:
            return None
        for is_fresh in (False, True):
            if is_fresh:
                self._weakest[kind] = self._find_weakest(kind, taken)
            candidates = self._weakest.get(kind, [])
            while candidates:
                its_rank, until_s, key = candidates.pop()
                ban = self._bans.get(key)
                if ban is None or ban.until_s != until_s or rank(ban, self.claims_of(key)) != its_rank:
                    continue
                if key in taken:
                    continue
                if its_rank == lowest or (is_fresh and its_rank < below):
                    return ban
                candidates.append((its_rank, until_s, key))
                break  # all that are left are stronger
        return None

    def _find_weakest(self, kind: int | None, taken: Container[bytes]) -> list[Candidate]:
        """Return the weakest bans, the very weakest last."""
        claims = self._claims
        ranked = (
            (rank(ban, claims[key]) if key in claims else rank(ban), ban.until_s, key)
            for key, ban in self._bans.items()
            if (kind is None or _kind(ban) == kind) and key not in taken
        )
        return heapq.nsmallest(_MAX_CANDIDATES, ranked)[::-1]

    def _offer(self, candidates: list[Candidate] | None, entry: Candidate) -> None:
        """Add a ban to those that were found to be the weakest, if it is one of them."""
        if candidates and entry < candidates[0]:
            bisect.insort(candidates, entry, key=lambda one: (-one[0], -one[1]))
            del candidates[: max(0, len(candidates) - 2 * _MAX_CANDIDATES)]

    def _enter(self, key: bytes, ban: Ban, claims: Claims = ()) -> None:
        self._bans[key] = ban
        if len(claims) > 1 or (claims and claims[0] is not ban):
            self._claims[key] = claims
        kind = _kind(ban)
        self._counts[kind + _KINDS * is_bulk(ban, claims)] += 1
        its_rank = rank(ban, claims)
        self._ranks[kind][its_rank] += 1
        for one in (None, kind) if self._weakest else ():
            self._offer(self._weakest.get(one), (its_rank, ban.until_s, key))
        if not ban.network.is_host:
            self._shapes[ban.network.bits, ban.network.prefix_length] += 1
        self._await_end(key)

    def _replace(self, key: bytes, ban: Ban, claims: Claims) -> None:
        self._strike(key)
        self._enter(key, ban, claims)

    def _next_end(self, key: bytes) -> float:
        """Return when the first of a ban's claims ends."""
        claims = self._claims.get(key)
        return min(claim.until_s for claim in claims) if claims else self._bans[key].until_s

    def _await_end(self, key: bytes) -> None:
        """Note when a claim of a ban ends next."""
        end_s = self._next_end(key)
        period = int(end_s) // _PERIOD_S
        if period > self._period:
            self._ends.setdefault(period, []).append(key)
        else:
            heapq.heappush(self._due, (end_s, key))
        self._end_count += 1
        if self._end_count > 2 * len(self._bans) + 64:  # ends of bans that were replaced pile up
            self._ends, self._due, self._end_count = {}, [], 0
            for kept in self._bans:
                self._await_end(kept)

    def _strike(self, key: bytes) -> tuple[Ban, Claims] | None:
        ban = self._bans.pop(key, None)
        if ban is None:
            return None
        claims = self._claims.pop(key, (ban,))
        kind = _kind(ban)
        self._counts[kind + _KINDS * is_bulk(ban, claims)] -= 1
        self._ranks[kind][rank(ban, claims)] -= 1
        if not ban.network.is_host:
            shape = ban.network.bits, ban.network.prefix_length
            self._shapes[shape] -= 1
            if not self._shapes[shape]:
                del self._shapes[shape]
        return ban, claims


def _kind(ban: Ban) -> int:
    """Return a number for each kind of ban: strength, mode, family, and whether it is of a prefix."""
    network = ban.network
    kind = 2 * ban.strength.number + (ban.mode is Mode.ENFORCE)
    return SHAPES * kind + 2 * (network.bits == 128) + (not network.is_host)
