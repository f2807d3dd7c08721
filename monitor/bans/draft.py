"""A draft: the decisions of one batch before the enforcers have answered, and the ledger as it would be then.

Everything that a batch wants of one network becomes one change. Nothing here touches the ledger: what the kernel
refuses leaves no trace.
"""

from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from monitor.bans.claims import Claims, bulk_share, effective, rank, with_claim
from monitor.bans.decision import Decision
from monitor.bans.ledger import Ledger
from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PORT_ELEMENTS, Ban, Mode, ban_key, whole_keys
from monitor.model.ports import count


class Changes(NamedTuple):
    """What a draft asks of the enforcers: bans to add, bans to give a later end, bans that end to make room."""

    new: list[Ban]
    longer: list[Ban]
    yielding: list[Ban]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.new or self.longer)


class Draft:
    """Decisions in their order, over a ledger that stays as it is."""

    def __init__(self, ledger: Ledger, now_s: float) -> None:
        """Begin with nothing decided; `now_s` is the batch's wall time."""
        self.now_s = now_s
        self.decisions: list[Decision] = []
        self._ledger = ledger
        self._claims: dict[bytes, Claims] = {}
        self._lengths: dict[tuple[int, int], None] = {}
        self._of_ports: dict[Network, list[tuple[Network, Strength]]] = {}
        self._yielding: dict[bytes, Ban] = {}
        self._nobody_below: dict[tuple[int, int] | None, int] = {}
        self._added = self._added_bulk = 0
        self._in_force: int | None = None  # counted at most once: the ledger stays as it is
        self._bulk: int | None = None
        self._added_ports: Counter[Strength] = Counter()
        self._added_prefixes: dict[tuple[int, int, bool], int] = {}

    def claims_of(self, key: bytes) -> Claims:
        """Return the claims of a ban (`ban_key`) as they would be, those that have ended included."""
        if claims := self._claims.get(key):
            return claims
        return () if self._yielding and key in self._yielding else self._ledger.claims_of(key)

    def covering(self, network: Network) -> Iterator[tuple[Ban, Claims]]:
        """Yield the bans of this network and of the prefixes around it with their claims, narrowest first."""
        own, known, added = network.prefix_length, self._ledger.keys(), self._claims
        for length in self._lengths_around(network):
            around = network.whole if length == own else network_of(network.address, length)
            for key in (*whole_keys(around), *self._keys_of_ports(around)):
                if key not in known and key not in added:
                    continue  # as nearly always
                claims = self.claims_of(key)
                if claims and (ban := effective(claims, self.now_s)) is not None:
                    yield ban, claims

    def _lengths_around(self, network: Network) -> list[int]:
        """Return the lengths of the prefixes that may be banned around a network, its own too; longest first."""
        lengths = self._ledger.prefix_lengths(network)
        if not self._lengths:
            return lengths
        bits, own = network.bits, network.prefix_length
        added = (length for its_bits, length in self._lengths if its_bits == bits and length < own)
        return sorted({*lengths, *added}, reverse=True)

    def _keys_of_ports(self, network: Network) -> Iterable[bytes]:
        """Return the keys of bans of some ports of a network; mostly there are none."""
        if not self._of_ports and not self._ledger.of_ports:
            return ()
        added = [ban_key(*place) for place in self._of_ports.get(network, ())]
        return dict.fromkeys((*self._ledger.of_ports.keys(network), *added))

    def refuse(self, decision: Decision) -> Decision:
        """Take a decision down that nothing follows from."""
        self.decisions.append(decision)
        return decision

    def add(self, decision: Decision, claim: Ban, key: bytes, current: Ban | None) -> Decision:
        """Take a decision down whose `claim` is what follows sees.

        `key` is its `ban_key`, `current` what its claims amount to without it.
        """
        self.decisions.append(decision)
        if claim.mode is Mode.ENFORCE and not _is_in_force(current):
            self._count(claim)
        if decision.yielding:
            self._yielding[decision.yielding.key] = decision.yielding
        self._claims[key] = with_claim(self.claims_of(key), claim)
        if claim.network.ports:
            self._of_ports.setdefault(claim.network.whole, []).append((claim.network, claim.strength))
        if not claim.network.is_host:
            self._lengths[claim.network.bits, claim.network.prefix_length] = None
        return decision

    def room_for(self, claim: Ban, current: Ban | None) -> tuple[bool, Ban | None]:
        """Tell whether there is room for one more ban, and which ban must yield for that.

        What is only observed, or in force already (`current`: what its claims amount to without it), takes no room.
        """
        if claim.mode is Mode.OBSERVE or _is_in_force(current):
            return True, None
        ledger = self._ledger
        if claim.origin.is_bulk:
            self._bulk = ledger.bulk if self._bulk is None else self._bulk
            if self._bulk + self._added_bulk >= ledger.max_bulk:
                return False, None
        if claim.network.ports:
            held = ledger.of_ports.elements[claim.strength] + self._added_ports[claim.strength]
            if held + count(claim.network.ports) > MAX_PORT_ELEMENTS:
                return False, None
        elif not claim.network.is_host:
            has_room, yielding = self._room_for_prefix(claim)
            if yielding or not has_room:
                return has_room, yielding
        self._in_force = ledger.in_force if self._in_force is None else self._in_force
        if self._in_force + self._added - len(self._yielding) < ledger.max_bans:
            return True, None
        yielding = self._weakest(claim)
        return yielding is not None, yielding

    def changes(self) -> Changes:
        """Return what the enforcers have to do: one change a network, however many decisions it had."""
        changes = Changes([], [], list(self._yielding.values()))
        for key, claims in self._claims.items():
            after = effective(claims, self.now_s)
            if after is None or after.mode is not Mode.ENFORCE:
                continue
            held = () if key in self._yielding else self._ledger.claims_of(key)
            before = effective(held, self.now_s) if held else None
            if before is None or before.mode is not Mode.ENFORCE:
                changes.new.append(after)
            elif before.until_s != after.until_s:
                changes.longer.append(after)
        return changes

    def _room_for_prefix(self, claim: Ban) -> tuple[bool, Ban | None]:
        """Tell whether the set of prefixes has room; bulk leaves a quarter of that free as well."""
        ledger, network = self._ledger, claim.network
        if claim.origin.is_bulk:
            bulk = ledger.count_in_set(claim.strength, network.bits, prefixes=True, bulk_only=True)
            if bulk + self._added_prefixes.get(self._set_of(claim), 0) >= bulk_share(ledger.max_prefixes):
                return False, None
        held = ledger.count_in_set(claim.strength, network.bits, prefixes=True)
        added = sum(self._added_prefixes.get((claim.strength.number, network.bits, bulk), 0) for bulk in (False, True))
        if held + added < ledger.max_prefixes:
            return True, None
        yielding = self._weakest(claim, is_same_set=True)
        return yielding is not None, yielding

    def _weakest(self, claim: Ban, *, is_same_set: bool = False) -> Ban | None:
        """Return a ban that this draft has not touched and that is weaker than a claim."""
        below, kind = rank(claim), (claim.strength.number, claim.network.bits) if is_same_set else None
        if below <= self._nobody_below.get(kind, -1):
            return None
        taken: ChainMap[bytes, object] = ChainMap(self._claims, self._yielding)  # type: ignore[arg-type]
        ban = self._ledger.weakest(below, claim if is_same_set else None, taken)
        if ban is None:  # nor will there be any later in this batch
            self._nobody_below[kind] = below
        return ban

    def _count(self, claim: Ban) -> None:
        self._added += 1
        self._added_bulk += claim.origin.is_bulk
        if claim.network.ports:
            self._added_ports[claim.strength] += count(claim.network.ports)
        elif not claim.network.is_host:
            kind = self._set_of(claim)
            self._added_prefixes[kind] = self._added_prefixes.get(kind, 0) + 1

    def _set_of(self, claim: Ban) -> tuple[int, int, bool]:
        return claim.strength.number, claim.network.bits, claim.origin.is_bulk


def _is_in_force(ban: Ban | None) -> bool:
    return ban is not None and ban.mode is Mode.ENFORCE
