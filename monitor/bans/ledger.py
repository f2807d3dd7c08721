"""The ledger: which bans are in force, who claims them, and when they end."""

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Sequence, Set

import msgspec

from monitor.bans.claims import Claims, Rank, bulk_share, effective, is_same_claim, with_claim
from monitor.bans.counts import BanCounts, kind_of
from monitor.bans.end_times import EndTimes
from monitor.bans.notes import Notes
from monitor.bans.observed import MAX_OBSERVED, ObservedRings
from monitor.bans.port_index import PortIndex
from monitor.bans.weakest import WeakestBans
from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, Ban, ClaimOrigin, Mode, ban_key


class Ledger(Notes, BanCounts):
    """Bans by network and strength, at most `max_bans` in force; knows which end when.

    The strengths of one network are apart, as in the kernel's sets: forged evidence must not lengthen a ban that rests
    on proof. A network of one strength may have several claims (`monitor.bans.claims`); most have one, which then is
    the ban itself. What is only observed has bounds of its own (`observed`). In addition, bounded notes of what
    happened to the addresses seen last.
    """

    def __init__(self, *, max_bans: int, max_prefixes: int = MAX_PREFIXES, max_observed: int = MAX_OBSERVED) -> None:
        """Make an empty ledger.

        `max_prefixes` bounds the prefixes in force of each strength and family, `max_observed` the entries of each
        strength that are only observed.
        """
        Notes.__init__(self)
        BanCounts.__init__(self)
        self.max_bans = max_bans
        self.max_prefixes = max_prefixes
        self.observed = ObservedRings(max_observed)
        self._dropped: list[tuple[Ban, Claims]] = []
        self._bans: dict[bytes, Ban] = {}
        self._claims: dict[bytes, Claims] = {}
        """Of those that have more than one."""
        self._ends = EndTimes()
        self._shapes: Counter[tuple[int, int]] = Counter()
        self.of_ports = PortIndex()
        self._weakest = WeakestBans(self._bans, self._claims)

    def __len__(self) -> int:
        """Return the number of bans, observed ones included."""
        return len(self._bans)

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a ban of this `ban_key`."""
        return key in self._bans

    @property
    def is_full(self) -> bool:
        """Whether a further ban needs another one to yield."""
        return self.in_force >= self.max_bans

    def is_full_for(self, wanted: Rank) -> bool:
        """Whether a new ban of this rank is refused; for what is observed, whether it displaces an older entry."""
        if wanted is Rank.OBSERVED:
            return any(self.count(Mode.OBSERVE, one) >= self.observed.max_each for one in Strength)
        is_bulk = wanted in (Rank.LIST, Rank.IMPORT, Rank.PEER)
        return (is_bulk and self.bulk >= self.max_bulk) or (self.is_full and not any(self.count_by_rank()[1:wanted]))

    @property
    def max_bulk(self) -> int:
        """How many bans imports, lists and peers may hold."""
        return bulk_share(self.max_bans)

    def get(self, network: Network, strength: Strength) -> Ban | None:
        """Return the ban of exactly this network and strength."""
        return self._bans.get(ban_key(network, strength))

    def claims(self, network: Network, strength: Strength) -> Claims:
        """Return who claims it, in the order in which they came; those that have ended may still be there."""
        return self.claims_of(ban_key(network, strength))

    def holders(self, network: Network) -> list[Ban]:
        """Return all claims of exactly this network or of ports of it, in every strength."""
        return [claim for place in self.places(network) for claim in self.claims(*place)]

    def places(self, network: Network) -> list[tuple[Network, Strength]]:
        """Return network and strength of the bans of exactly this network and of ports of it."""
        return [(ban.network, ban.strength) for ban in self._at(network)]

    def _at(self, network: Network) -> list[Ban]:
        keys = (*(ban_key(network.whole, strength) for strength in Strength), *self.of_ports.keys(network))
        return [self._bans[key] for key in keys if key in self._bans]

    def claims_of(self, key: bytes) -> Claims:
        """Return the claims behind `monitor.model.bans.ban_key`."""
        ban = self._bans.get(key)
        return () if ban is None else self._claims.get(key, (ban,))

    def prefix_lengths(self, network: Network) -> list[int]:
        """Return the lengths of the banned prefixes that could be around a network, its own too; longest first."""
        if not self._shapes:
            return [network.prefix_length]
        lengths = {length for bits, length in self._shapes if bits == network.bits and length < network.prefix_length}
        return [network.prefix_length, *sorted(lengths, reverse=True)]

    def covering(self, network: Network) -> list[Ban]:
        """Return the bans of this network and of the prefixes around it, of ports of them too, narrowest first."""
        lengths = self.prefix_lengths(network)
        return [ban for length in lengths for ban in self._at(network_of(network.address, length))]

    def put(self, claim: Ban, now_s: float = 0.0) -> Ban:
        """Enter a claim, in place of the earlier one of its origin; return what the network's claims amount to."""
        key = claim.key
        known = self._bans.get(key)
        if known is None:
            self._enter(key, claim, now_s=now_s)
            return claim
        claims = with_claim(self._claims.get(key, (known,)), claim)
        ban = effective(claims, now_s) or claim
        self._replace(key, ban, claims, now_s)
        return ban

    def put_hosts(self, bans: Sequence[Ban], keys: Sequence[bytes]) -> None:
        """Enter bans in force of different single addresses, with their `ban_key`; none of them may have a claim yet.

        As `put` does one by one, and several times as fast.
        """
        if not self._bans.keys().isdisjoint(keys):
            raise ValueError("some of these addresses have claims already")
        self._bans.update(zip(keys, bans, strict=True))
        self._add_hosts(bans, keys)
        self._ends.add_all(keys, [ban.until_s for ban in bans])
        self._weakest.forget()

    def take_dropped(self) -> list[tuple[Ban, Claims]]:
        """Return the observed entries that were dropped for newer ones since the last call, with their claims."""
        taken, self._dropped = self._dropped, []
        gone = []
        for ban, claims in taken:
            again = self.claims_of(ban.key)
            if over := tuple(one for one in claims if not any(is_same_claim(one, other) for other in again)):
                gone.append((ban, over))
        return gone

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
            self._replace(key, after, kept, now_s)
        return before, gone, after

    @property
    def next_end_s(self) -> float:
        """No claim ends before this time, so that `expire` has nothing to do until then."""
        return self._ends.next_s

    def expire(self, now_s: float) -> list[tuple[Ban, Claims, Ban | None]]:
        """Strike out the claims that ended by `now_s`; return for each ban what it was, these claims, what remains.

        A ban that from now on is only observed has ended: nothing remains of it.
        """
        ended = []
        for key in self._ends.pop_due(now_s, self._next_end):
            ban = self._bans[key]
            claims = self.claims_of(key)
            self._strike(key)
            rest = tuple(claim for claim in claims if claim.until_s > now_s)
            if (after := effective(rest, now_s)) is not None:
                self._enter(key, after, rest, now_s)
            remaining = after if after is not None and after.mode is ban.mode else None
            ended.append((ban, tuple(claim for claim in claims if claim.until_s <= now_s), remaining))
        return ended

    def shift(self, step_s: float, last_read_s: float, now_s: float) -> list[Ban]:
        """Move all claims by `step_s`, by which the wall clock was set since it was last read; remaining times stay.

        Claims that began between that reading and now, by the clock as it is now, were made after it was set. Returns
        the claims that moved.
        """
        self._ends = EndTimes()
        self._weakest.forget()
        moved: list[Ban] = []

        def follow(claim: Ban) -> Ban:
            if last_read_s < claim.since_s <= now_s:
                return claim
            later = msgspec.structs.replace(claim, since_s=claim.since_s + step_s, until_s=claim.until_s + step_s)
            moved.append(later)
            return later

        for key in list(self._bans):
            claims = tuple(map(follow, self.claims_of(key)))
            self._replace(key, effective(claims, now_s) or claims[0], claims, now_s)
        return moved

    def bans(self) -> Iterable[Ban]:
        """Return all bans, in no order."""
        return self._bans.values()

    def keys(self) -> Set[bytes]:
        """Return a view of the keys (`ban_key`) of all bans."""
        return self._bans.keys()

    def keys_of(self, origins: Collection[ClaimOrigin]) -> list[bytes]:
        """Return the keys of the bans that may have a claim of one of these origins; quick, however many there are."""
        claims = self._claims
        if not claims and self.has_none_of(origins):
            return []
        return [key for key, ban in self._bans.items() if ban.origin in origins or key in claims]

    def all_claims(self) -> Iterable[Ban]:
        """Yield every claim, in the order of `bans`: a replay enters them in this order."""
        claims = self._claims
        if not claims:
            return self._bans.values()
        return (claim for key, ban in self._bans.items() for claim in claims.get(key, (ban,)))

    def claims_from(self, origins: Collection[ClaimOrigin]) -> Iterable[Ban]:
        """Yield the claims of some origins, in no order; quick, however many others there are."""
        for key in self.keys_of(origins):
            yield from (claim for claim in self.claims_of(key) if claim.origin in origins)

    def weakest(self, below: int, like: Ban | None = None, taken: Container[bytes] = ()) -> Ban | None:
        """Return the ban that yields first: of the lowest rank, with the shortest remaining time; None if all stay.

        Only bans in force of a rank below `below` yield. `like`: only those of the kind (strength, family, shape) of
        this one. `taken`: not these, by `ban_key`. Many calls cost one walk over all bans, and none where nobody is
        weaker.
        """
        kind = None if like is None else kind_of(like)
        counts = self.count_by_rank(kind)
        lowest = next((its_rank for its_rank, count in enumerate(counts) if its_rank and count), below)
        if lowest >= below:
            return None
        return self._weakest.find(kind, lowest, below, taken)

    def _enter(self, key: bytes, ban: Ban, claims: Claims = (), now_s: float = 0.0) -> None:
        self._bans[key] = ban
        if len(claims) > 1 or (claims and claims[0] is not ban):
            self._claims[key] = claims
        self._add(ban, claims)
        if ban.network.ports:
            self.of_ports.add(key, ban)
        if not ban.network.is_host:
            self._shapes[ban.network.bits, ban.network.prefix_length] += 1
        self._await_end(key)
        if ban.mode is Mode.OBSERVE:
            is_bulk = all(claim.origin.is_bulk for claim in claims or (ban,))
            self._drop(self.observed.add(key, is_bulk=is_bulk), now_s)
        else:
            self._weakest.offer(key, ban, claims)

    def _drop(self, key: bytes | None, now_s: float) -> None:
        """Drop an observed entry for newer ones."""
        if key is not None and (gone := self._strike(key)):
            self._dropped.append(gone)
            self.observed.note_eviction(gone[0].strength, now_s)

    def _replace(self, key: bytes, ban: Ban, claims: Claims, now_s: float) -> None:
        self._strike(key)
        self._enter(key, ban, claims, now_s)

    def _next_end(self, key: bytes) -> float | None:
        """Return when the first of a ban's claims ends; None without a ban."""
        if claims := self._claims.get(key):
            return min(claim.until_s for claim in claims)
        ban = self._bans.get(key)
        return None if ban is None else ban.until_s

    def _await_end(self, key: bytes) -> None:
        """Note when a claim of a ban ends next."""
        if (end_s := self._next_end(key)) is not None:
            self._ends.add(key, end_s)
        if self._ends.count > 2 * len(self._bans) + 64:  # entries of bans that were replaced pile up
            self._ends.clear()
            for kept in self._bans:
                self._await_end(kept)

    def _strike(self, key: bytes) -> tuple[Ban, Claims] | None:
        ban = self._bans.pop(key, None)
        if ban is None:
            return None
        claims = self._claims.pop(key, (ban,))
        self._subtract(ban, claims)
        if ban.network.ports:
            self.of_ports.discard(key, ban)
        if ban.mode is Mode.OBSERVE:
            self.observed.discard(key)
        if not ban.network.is_host:
            shape = ban.network.bits, ban.network.prefix_length
            self._shapes[shape] -= 1
            if not self._shapes[shape]:
                del self._shapes[shape]
        return ban, claims
