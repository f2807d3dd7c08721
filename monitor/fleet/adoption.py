"""What becomes of a peer's records here: orders to ban, claims to withdraw, or nothing. Pure: it reads the ledger.

The one place that decides how a peer's claim is held (`mode_for`): enforced, only observed, or not at all. Everything
that changes that later, such as a tripped breaker, another configuration or a missing quorum, has the claim revised by
the same rule.
"""

import sys
from collections.abc import Callable, Iterable

import msgspec

from monitor.bans.claims import Rank
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.fleet.breaker import WITHIN_S
from monitor.fleet.engine import Change
from monitor.fleet.fields import read_field
from monitor.fleet.pardons import Pardons
from monitor.fleet.peers import Peer, Peers
from monitor.fleet.plan import Plan
from monitor.fleet.records import MAX_REASON, BanRecord, RecordError, decode_ban
from monitor.fleet.refusals import Cause
from monitor.fleet.settings import FleetSettings, Share
from monitor.fleet.times import EngineClock
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import OTHER_PEERS, AllowEntry, Ban, ClaimOrigin, Mode, ban_key
from monitor.model.printable import printable
from monitor.recording.inputs import OrderedBan

_SAME_S = 1.0
"""Ends closer than this are the same: clocks are compared over a network."""


class Rules:
    """What decides on records of peers."""

    def __init__(self, settings: FleetSettings, internal: Iterable[Network] = ()) -> None:
        """Take the settings; `internal` are private networks: an address in them is another host here than there."""
        self.settings = settings
        self._internal = Guard([AllowEntry(one, "internal") for one in internal])

    def is_internal(self, network: Network) -> bool:
        """Whether some of a network is private, or nobody's."""
        return self._internal.protects(network) is not None


class _Wanted(msgspec.Struct, frozen=True, gc=False):
    """A ban that a peer has; `is_listed`: a snapshot has it."""

    network: Network
    strength: Strength
    key: bytes
    record: BanRecord
    until_s: float
    is_listed: bool


class Adoption:
    """Weighs records and claims of peers."""

    def __init__(
        self,
        rules: Rules,
        ledger: Ledger,
        peers: Peers,
        pardons: Pardons,
        clock: EngineClock,
        protects: Callable[[Network], AllowEntry | None],
    ) -> None:
        """`protects` is the guard's."""
        self.rules = rules
        self._ledger = ledger
        self._peers = peers
        self._pardons = pardons
        self._clock = clock
        self._protects = protects

    @property
    def enforces(self) -> bool:
        """Whether what peers say changes what is enforced here."""
        return self.rules.settings.mode is Mode.ENFORCE

    def claims_of_peers(self, key: bytes) -> list[Ban]:
        """Return the claims of other nodes of a ban (`ban_key`)."""
        return [one for one in self._ledger.claims_of(key) if is_of_peer(one)]

    def claim_of(self, name: str, key: bytes) -> Ban | None:
        """Return what a peer claims of a ban (`ban_key`)."""
        for one in self._ledger.claims_of(key):  # mostly there are none
            if one.detector == name and is_of_peer(one):
                return one
        return None

    def take(
        self, plan: Plan, peer: Peer, change: Change, now_s: float, seen: set[bytes] | None = None
    ) -> Cause | None:
        """Plan what a ban of a peer leads to; return why it leads to nothing, None if it does or is held already.

        `seen` takes the `ban_key` of what is part of a snapshot, whatever becomes of it; None: it was decided just now.
        """
        try:
            network, strength = read_field(change.field)
        except ValueError:
            return Cause.MALFORMED
        key = ban_key(network, strength)
        if seen is not None:
            seen.add(key)
        try:
            record = decode_ban(change.record)
        except RecordError as error:
            return Cause(error.cause)
        if f"{record.set} {record.net}".encode() != change.field:
            return Cause.MALFORMED
        if seen is None:
            peer.lag_s = max(0.0, now_s - self._clock.to_local(record.since_s))
        wanted = _Wanted(network, strength, key, record, self._end_of(record, now_s), is_listed=seen is not None)
        if (cause := self._refusal(peer, wanted, now_s)) is not None:
            if cause is Cause.ENDED and ((peer.name, key) in plan.orders or self.claim_of(peer.name, key)):
                plan.withdraw(peer.name, network, strength)
            return cause
        return self._hold(plan, peer, wanted, now_s)

    def _hold(self, plan: Plan, peer: Peer, wanted: _Wanted, now_s: float) -> Cause | None:
        """Plan the claim that a record makes; return why it cannot be held, None if it is."""
        network, strength, key, until_s = wanted.network, wanted.strength, wanted.key, wanted.until_s
        place = peer.name, key
        held = None if place in plan.withdrawals else self.claim_of(peer.name, key)
        mode = self._mode(peer.name, key, now_s)
        if held is None and place not in plan.orders:
            if (cause := self._charge(plan, peer, wanted, mode, now_s)) is not None:
                return cause
            if peer.breaker.is_tripped:  # by this one
                mode = self._mode(peer.name, key, now_s)
        if held is not None:
            plan.known += 1
            if self._clock.to_local(wanted.record.since_s) > now_s:  # it would last longer with each reading
                until_s = min(until_s, held.until_s)
            if held.mode is mode and abs(held.until_s - until_s) < _SAME_S:
                return None
            if held.mode is mode and not wanted.is_listed and not peer.renewals.spend(now_s):
                return Cause.BUDGET
            if not _can_be_ordered(held, mode, until_s):
                plan.withdraw(peer.name, network, strength)
                held = None
        left_s, reason = until_s - now_s, _reason(wanted.record)
        order = OrderedBan(network, strength, left_s, reason, ClaimOrigin.PEER, peer.name, mode)
        plan.order(order, key, held.mode if held else None)
        if mode is Mode.ENFORCE and self.rules.settings.quorum > 1:
            self.revise(plan, key, now_s, beside=peer.name)
        return None

    def _charge(self, plan: Plan, peer: Peer, wanted: _Wanted, mode: Mode, now_s: float) -> Cause | None:
        """Take a new ban off what a peer may bring; return why it cannot be held. Too many trip its breaker.

        What a snapshot has and we do not need not be new: there was no room for it, or for it among what is observed.
        """
        if peer.held + plan.fresh >= self.rules.settings.max_per_peer:
            return Cause.FULL
        if mode is Mode.ENFORCE:
            if plan.is_full is None:  # asked once for each slice: it costs a count
                plan.is_full = self._ledger.is_full_for(Rank.PEER)
            if plan.is_full:
                return Cause.FULL
        is_free = wanted.is_listed and mode is Mode.OBSERVE and not peer.breaker.is_tripped
        if not is_free and not peer.spend(now_s):
            if peer.breaker.is_tripped:
                return Cause.BUDGET
            most = self.rules.settings.bans_per_minute
            peer.breaker.trip(f"it made more than {most} bans a minute (fleet.bans_per_minute)", now_s)
        plan.fresh += 1
        return None

    def _end_of(self, record: BanRecord, now_s: float) -> float:
        """Return when an adopted ban ends: counted from its start there, so that reading it again prolongs nothing."""
        offset_s = self._clock.offset_s
        since_s = min(record.since_s - offset_s, now_s)
        return min(record.until_s - offset_s, since_s + self.rules.settings.max_bantime_s)

    def _refusal(self, peer: Peer, wanted: _Wanted, now_s: float) -> Cause | None:
        """Return why a ban must not be held; the guard comes first, and what it protects counts for the breaker.

        Of a snapshot only what was banned lately counts: others may have been right to ban what is allowed here, once
        in a while, and each snapshot has all of it. What is over counts never.
        """
        network = wanted.network
        if self._protects(network) is not None:
            since_s = self._clock.to_local(wanted.record.since_s)
            if wanted.until_s > now_s and (not wanted.is_listed or now_s - since_s <= WITHIN_S):
                peer.breaker.name_allowed(network, since_s, now_s)
            return Cause.ALLOWLISTED
        if (cause := self._rule_against(peer, network, wanted.strength)) is not None:
            return cause
        if wanted.until_s <= now_s:
            return Cause.ENDED
        return Cause.PARDONED if self._pardons.bars(network, now_s) else None

    def _rule_against(self, peer: Peer | None, network: Network, strength: Strength) -> Cause | None:
        settings = self.rules.settings
        if not settings.adopt:
            return Cause.OFF
        if peer is not None and settings.adopt_roles and peer.role not in (None, *settings.adopt_roles):
            return Cause.ROLE
        if network.prefix_length < (settings.widest_ipv4 if network.bits == 32 else settings.widest_ipv6):
            return Cause.WIDE
        if strength is Strength.SPOOFABLE and settings.share is not Share.ALL:
            return Cause.SPOOFABLE
        return Cause.INTERNAL if self.rules.is_internal(network) else None

    def mode_for(self, name: str, network: Network, strength: Strength, now_s: float) -> Mode | None:
        """Return how a claim of a peer is held as things are; None: not at all."""
        peer = self._peers.find(name)
        if self._rule_against(peer, network, strength) or self._pardons.bars(network, now_s):
            return None
        return self._mode(name, ban_key(network, strength), now_s)

    def _mode(self, name: str, key: bytes, now_s: float) -> Mode:
        settings = self.rules.settings
        if settings.mode is Mode.OBSERVE or not self._peers.is_trusted(name):
            return Mode.OBSERVE
        if not self._has_role(name):
            held = self.claim_of(name, key)
            return held.mode if held is not None else Mode.OBSERVE  # nobody knows yet
        if settings.quorum > 1:
            claims = self._ledger.claims_of(key)
            named = {one.detector for one in claims if self._counts(one, now_s)}
            if sum(map(self._peers.is_trusted, named | {name})) < settings.quorum:
                return Mode.OBSERVE
        return Mode.ENFORCE

    def _counts(self, claim: Ban, now_s: float) -> bool:
        """Whether a claim counts for a quorum: of a role that nobody knows yet only if it did before."""
        if not is_of_peer(claim) or claim.until_s <= now_s:
            return False
        return claim.mode is Mode.ENFORCE or self._has_role(claim.detector)

    def _has_role(self, name: str) -> bool:
        """Whether the role of a peer is known, or does not matter."""
        peer = self._peers.find(name)
        return not self.rules.settings.adopt_roles or (peer is not None and peer.role is not None)

    def revise(self, plan: Plan, key: bytes, now_s: float, *, beside: str = "") -> None:
        """Plan what makes the peers' claims of a ban what they should be now; `beside`: but not this peer's."""
        for claim in self._ledger.claims_of(key):
            if not is_of_peer(claim) or claim.detector == beside or claim.until_s <= now_s:
                continue
            # a claim that is being made counts for the others already
            mode = Mode.ENFORCE if beside and self._would_be(claim, now_s) else self._mode_of(claim, now_s)
            if mode is claim.mode:
                continue
            if mode is not Mode.ENFORCE:
                plan.withdraw(claim.detector, claim.network, claim.strength)
            if mode is not None:
                left_s, name = claim.until_s - now_s, claim.detector
                order = OrderedBan(claim.network, claim.strength, left_s, claim.reason, claim.origin, name, mode)
                plan.order(order, key, claim.mode if mode is Mode.ENFORCE else None)

    def _mode_of(self, claim: Ban, now_s: float) -> Mode | None:
        return self.mode_for(claim.detector, claim.network, claim.strength, now_s)

    def _would_be(self, claim: Ban, now_s: float) -> bool:
        """Whether a claim is enforced as soon as there is a quorum."""
        trusted = self._peers.is_trusted(claim.detector)
        return trusted and self._has_role(claim.detector) and self._mode_of(claim, now_s) is not None


def is_of_peer(claim: Ban) -> bool:
    """Whether a claim is that of another node of the fleet."""
    return claim.origin is ClaimOrigin.PEER and claim.detector not in OTHER_PEERS


def _can_be_ordered(held: Ban, mode: Mode, until_s: float) -> bool:
    """Whether an order changes a claim as wanted: it makes none shorter, and none that is enforced observed."""
    if held.mode is mode:
        return until_s > held.until_s
    return mode is Mode.ENFORCE


def _reason(record: BanRecord) -> str:
    """Return a reason as it is kept: one line of printable text; few differ, and each is held for long.

    It says which detector decided, unless the reason does already.
    """
    is_named = record.detector in record.reason.split()
    text = record.reason if is_named else f"{record.reason} ({record.detector})" if record.reason else record.detector
    return sys.intern(printable(text)[:MAX_REASON])
