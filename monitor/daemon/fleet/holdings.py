"""What peers claim here: carries plans out, and counts what each peer holds."""

from collections.abc import Sequence

from monitor.bans.decision import ENTERED, Ended, Verdict
from monitor.bans.ledger import Ledger
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.fleet.adoption import Adoption, Rules, is_of_peer
from monitor.fleet.engine import Change
from monitor.fleet.fields import read_network
from monitor.fleet.pardons import MAX_PARDON_S, Pardon, Pardons, is_too_wide
from monitor.fleet.peers import Peer, Peers
from monitor.fleet.plan import Plan
from monitor.fleet.records import RecordError, decode_pardon
from monitor.fleet.refusals import Cause
from monitor.fleet.times import EngineClock
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import ClaimOrigin, Mode
from monitor.settings.schema import Settings

_CAUSES = {
    Verdict.ALLOWLISTED: Cause.ALLOWLISTED,
    Verdict.FULL: Cause.FULL,
    Verdict.STALE: Cause.ENDED,
    Verdict.REFUSED: Cause.KERNEL,
}
_SAME_S = 2.0


class Holdings:
    """The claims of peers in the ledger."""

    def __init__(
        self, pipeline: Pipeline, adoption: Adoption, peers: Peers, pardons: Pardons, clock: EngineClock
    ) -> None:
        """Change the ledger through the pipeline only."""
        self._pipeline = pipeline
        self._adoption = adoption
        self._peers = peers
        self._pardons = pardons
        self._clock = clock
        self.adopted_total = 0

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self._pipeline.ledger

    def recount(self, now_s: float) -> None:
        """Count what an earlier run left; what a node claimed whose name is ours now ends: nobody else ever ends it."""
        was_anothers = False
        for claim in self.ledger.all_claims():
            if not is_of_peer(claim):
                continue
            if claim.detector == self._peers.own:
                was_anothers = True
            elif peer := self._peers.meet(claim.detector, now_s):
                peer.count(claim.mode, 1)
        if was_anothers:
            self._pipeline.withdraw(ClaimOrigin.PEER, self._peers.own, None, now_s)

    def carry_out(self, plan: Plan, now_s: float) -> None:
        """Have the pipeline withdraw, then order."""
        by_name: dict[str, list[tuple[Network, Strength]]] = {}
        for (name, _), place in plan.withdrawals.items():
            by_name.setdefault(name, []).append(place)
        for name, places in by_name.items():
            self._pipeline.withdraw(ClaimOrigin.PEER, name, places, now_s)
        if not plan.orders:
            return
        decisions = self._pipeline.order(list(plan.orders.values()), now_s)
        for (key, order), decision in zip(plan.orders.items(), decisions, strict=False):
            peer = self._peers.find(order.name)
            if peer is None:
                continue
            if decision.verdict in ENTERED:
                if (held := plan.held.get(key)) is None:
                    self.adopted_total += 1
                else:
                    peer.count(held, -1)
                peer.count(order.mode, 1)
            elif cause := _CAUSES.get(decision.verdict):
                self._peers.refuse(peer, cause)

    def ended(self, ended: Sequence[Ended]) -> list[bytes]:
        """Count claims that are over; return the keys of bans of which a peer's claim ended."""
        keys = []
        for one in ended:
            for claim in one.claims:
                if is_of_peer(claim) and (peer := self._peers.find(claim.detector)):
                    peer.count(claim.mode, -1)
                    keys.append(claim.key)
        return keys

    def take_pardon(self, peer: Peer, change: Change, now_s: float) -> Cause | None:
        """Follow a pardon of a peer; return why not."""
        try:
            record = decode_pardon(change.record)
            network = read_network(record.net).whole
        except RecordError as error:
            return Cause(error.cause)
        except ValueError:
            return Cause.MALFORMED
        if change.field != record.net.encode():
            return Cause.MALFORMED
        if peer.breaker.is_tripped:
            return Cause.BUDGET
        if is_too_wide(network):
            return Cause.WIDE
        at_s = min(now_s, self._clock.to_local(record.at_s))
        until_s = min(self._clock.to_local(record.until_s), at_s + MAX_PARDON_S)
        if not self._pardons.add(network, Pardon(at_s, until_s, record.reason, peer.name), now_s):
            return None
        if not peer.spend(now_s):  # one that is renewed costs as much: it ends bans again
            most = self._adoption.rules.settings.bans_per_minute
            peer.breaker.trip(f"it made more than {most} bans and pardons a minute (fleet.bans_per_minute)", now_s)
            return Cause.BUDGET
        self.let_go(network, at_s, now_s, with_local=self._adoption.enforces)
        return None

    def follow_clock(self, step_s: float) -> None:
        """Keep what is left of pardons and breakers after the wall clock was set by `step_s`."""
        self._pardons.shift(step_s)
        for peer in self._peers:
            peer.shift(step_s)

    def forget_pardons(self, peer: Peer) -> None:
        """Let a peer's pardons bar nothing any more."""
        self._pardons.forget_peer(peer.name)

    def let_go(self, network: Network, at_s: float, now_s: float, *, with_local: bool) -> list[Ended]:
        """End the claims of a network that began before a pardon: those of peers, and local ones."""
        ended: list[Ended] = []
        claims = self.ledger.holders(network)
        for name in {claim.detector for claim in claims if is_of_peer(claim)}:
            places = self.ledger.places(network)
            ended += self._pipeline.withdraw(ClaimOrigin.PEER, name, places, now_s)
        local = [claim for claim in claims if claim.origin.is_local]
        if with_local and local and all(claim.since_s <= at_s + _SAME_S for claim in local):
            ended += self._pipeline.unban([network], now_s)[0]
        return ended


def rules_of(settings: Settings) -> Rules:
    """Return what decides on records of peers, as configured."""
    internal = settings.bans.internal
    return Rules(settings.fleet, internal.networks if internal.mode is Mode.OBSERVE else ())
