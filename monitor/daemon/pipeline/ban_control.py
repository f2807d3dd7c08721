"""Bans from proposal to end: has drafts enforced, enters what is in force, tells the listeners.

Two steps: the policy has proposed, the enforcers answer, and only what is in force is settled. Kernel, ledger and
answer agree after every call.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.bans.draft import Draft
from monitor.bans.policy import Policy
from monitor.daemon.pipeline.listeners import Listeners
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, FloodAlert, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode, read_ban_key
from monitor.model.errors import NodewardenError

_log = logging.getLogger(__name__)
_MAX_REASONS = 5
"""Different ones that are logged at once."""


class BanControl:
    """The one place that changes ledger and enforcers together."""

    def __init__(
        self,
        policy: Policy,
        enforcers: Enforcement,
        listeners: Listeners,
        cut_connections: Callable[[list[Network]], None] = lambda _: None,
    ) -> None:
        """`cut_connections` ends the connections of networks that were just banned on proof."""
        self._policy = policy
        self._ledger = policy.ledger
        self._enforcers = enforcers
        self._listeners = listeners
        self._cut_connections = cut_connections
        self._lost: list[Ended] = []
        enforcers.leader.on_lost = self.lose

    def carry_out(self, draft: Draft, alerts: Sequence[Alert | FloodAlert] = ()) -> list[Decision]:
        """Have a draft enforced and enter what is in force; return its settled decisions and what followed from them.

        `alerts` are those that the draft answers; listeners receive them first.
        """
        rounds: list[tuple[list[Ended], list[Decision], float]] = []
        now_s = draft.now_s
        while draft.decisions:
            refused = self._enforce(draft)
            done_s = time.time()
            settlement = self._policy.settle(draft, refused)
            lost, self._lost = self._lost, []
            rounds.append((lost + settlement.ended, settlement.decisions, done_s))
            draft = self._policy.draft(now_s)
            for follow_up in settlement.follow_ups:
                self._policy.follow_up(draft, follow_up)
        settled = [decision for _, decisions, _ in rounds for decision in decisions]
        new = [one.claim for one in settled if one.verdict is Verdict.BAN and one.claim and one.claim.origin.is_local]
        if proven := [claim.network for claim in new if claim.strength is Strength.PROVEN and not claim.network.ports]:
            self._cut_connections(proven)
        self._tell_alerts(alerts)
        for ended, decisions, done_s in rounds:  # in the order in which it came to be
            self._tell_ended(ended)
            self._listeners.settled(decisions, done_s)
        self._tell_dropped()
        return settled

    def lift(self, bans: Sequence[Ban], now_s: float, cause: Ending = Ending.LIFTED) -> None:
        """End bans before their time, whatever claims them."""
        ended = self._strike_out(bans, cause)
        try:
            self._enforcers.remove(bans, now_s)
        finally:
            self._tell_ended(ended)

    def unban(self, networks: Iterable[Network], now_s: float) -> list[Ended]:
        """End all local claims of exactly these networks and of ports of them; other claims may hold some still."""
        places = [place for network in networks for place in self._ledger.places(network)]
        return self._end_claims(places, lambda claim: claim.origin.is_local, Ending.LIFTED, now_s)

    def withdraw(self, network: Network, detector: str, now_s: float) -> list[Ended]:
        """End what a detector claims of a network on evidence that anyone can forge: it proved to be none."""
        places = [place for place in self._ledger.places(network) if place[1] is Strength.SPOOFABLE]

        def is_its_own(claim: Ban) -> bool:
            return claim.origin is ClaimOrigin.DETECTOR and claim.detector == detector  # a peer may be called like one

        return self._end_claims(places, is_its_own, Ending.WITHDRAWN, now_s)

    def withdraw_of(
        self, origin: ClaimOrigin, name: str, places: Iterable[tuple[Network, Strength]] | None, now_s: float
    ) -> list[Ended]:
        """End what an origin elsewhere claims of these networks, or all its claims (None)."""

        def is_its_own(claim: Ban) -> bool:
            return claim.origin is origin and claim.detector == name

        if places is None:
            held = self._ledger.bans()
            places = [
                (ban.network, ban.strength) for ban in held if any(map(is_its_own, self._ledger.claims_of(ban.key)))
            ]
        return self._end_claims(places, is_its_own, Ending.LIFTED, now_s)

    def spare(self, now_s: float) -> list[Ended]:
        """End what detectors claim of networks that are by now on allowlists of their own."""
        lists = {name: one for name, one in self._policy.rules.detectors.items() if one.has_allowlist}

        def is_spared(claim: Ban) -> bool:
            own = lists.get(claim.detector) if claim.origin is ClaimOrigin.DETECTOR else None
            return own is not None and own.allowed(claim.network.whole) is not None

        places = [
            (ban.network, ban.strength)
            for ban in (self._ledger.bans() if lists else ())
            if any(map(is_spared, self._ledger.claims_of(ban.key)))
        ]
        return self._end_claims(places, is_spared, Ending.ALLOWLISTED, now_s)

    def _end_claims(
        self,
        places: Iterable[tuple[Network, Strength]],
        which: Callable[[Ban], bool],
        cause: Ending,
        now_s: float,
    ) -> list[Ended]:
        ended = []
        for network, strength in places:
            found = self._ledger.withdraw(network, strength, which, now_s)
            if found is not None:
                before, claims, after = found
                ended.append(Ended(before, claims, cause, after))
        still: list[Ban] = []
        over: list[Ban] = []
        for one in ended:
            if one.remaining and one.remaining.mode is Mode.ENFORCE:
                still.append(one.remaining)
            else:
                over.append(one.ban)
        try:
            if over:
                self._enforcers.remove(over, now_s)
            if still and (refused := self._enforcers.enforce((), still, now_s)):
                # the kernel kept the later end: that ends as soon as it lets us
                self._enforcers.leader.doubt([ban for ban in still if ban.key in refused])
        finally:
            self._tell_ended(ended)
        return ended

    def flush(self, now_s: float) -> list[Ban]:
        """End all bans, and remove the table; return which they were."""
        bans = list(self._ledger.bans())
        self._enforcers.flush(bans, now_s)
        self._tell_ended(self._strike_out(bans, Ending.LIFTED))
        self._listeners.flushed()
        return bans

    @property
    def has_lost(self) -> bool:
        """Whether listeners are still to receive bans that the kernel lost."""
        return bool(self._lost)

    def tick(self, now_s: float) -> None:
        """End the bans whose time is over."""
        expired = self._ledger.expire(now_s)
        self._tell_ended([Ended(ban, claims, Ending.EXPIRED, remaining) for ban, claims, remaining in expired])
        self._tell_dropped()
        self._listeners.tick(now_s)

    def follow_clock(self, step_s: float, last_read_s: float, now_s: float) -> None:
        """Keep the remaining time of all bans after the wall clock was set: the kernel counts without that clock."""
        self._listeners.moved(self._ledger.shift(step_s, last_read_s, now_s))

    def correct(self, claims: Sequence[Ban], now_s: float) -> None:
        """Give claims other times, also earlier ones; those that are over by now end with the next `tick`."""
        over: list[Ban] = []
        still: list[Ban] = []
        for claim in claims:
            ban = self._ledger.put(claim, now_s)
            if ban.mode is Mode.ENFORCE:
                (still if ban.until_s > now_s else over).append(ban)
        self._listeners.moved(claims)
        if over:
            self._enforcers.remove(over, now_s)
        if still and (refused := self._enforcers.enforce((), still, now_s)):
            self._enforcers.leader.doubt([ban for ban in still if ban.key in refused])

    def _enforce(self, draft: Draft) -> dict[bytes, str]:
        """Have the enforcers do what a draft changes; return why bans were refused, by `ban_key`."""
        changes = draft.changes()
        if not changes:
            return {}
        now_s = draft.now_s
        yielding = {ban.key: ban for ban in changes.yielding if ban.mode is Mode.ENFORCE}
        self._make_room(list(yielding.values()), now_s)
        generation = self._enforcers.leader.generation
        refused = self._enforcers.enforce(changes.new, changes.longer, now_s)
        for_nothing = yielding.keys() & {
            one.yielding.key for one in draft.decisions if one.claim and one.yielding and one.claim.key in refused
        }
        if self._enforcers.leader.generation != generation:  # it was filled from the ledger, which still has them
            self._make_room([ban for key, ban in yielding.items() if key not in for_nothing], now_s)
        if for_nothing:  # a ban that made room for nothing stays, as long as a new claim on it wants if that is longer
            ends = {ban.key: ban.until_s for ban in changes.new if ban.key not in refused}
            back = [
                msgspec.structs.replace(ban, until_s=max(ban.until_s, ends.get(key, 0.0)))
                for key, ban in yielding.items()
                if key in for_nothing
            ]
            self._strike_refused(self._enforcers.enforce(back, (), now_s))
        return refused

    def _make_room(self, yielding: Sequence[Ban], now_s: float) -> None:
        """End bans in the kernel that yield. If that fails, the table tries again later, and new bans may not fit."""
        try:
            if yielding:
                self._enforcers.remove(yielding, now_s)
        except (NodewardenError, OSError) as error:
            _log.warning("%d bans that should make room are still in the kernel: %s", len(yielding), error)

    def lose(self, failures: Sequence[Failure]) -> None:
        """Strike out bans that should be in force and that the kernel refused when the table was filled.

        Listeners receive this with the next ends, at most a second later.
        """
        self._strike_refused({one.key: one.reason for one in failures})

    def _strike_refused(self, refused: Mapping[bytes, str]) -> None:
        """Strike out bans; those who listen name them, and here is why."""
        reasons = Counter[str]()
        for key, reason in refused.items():
            network, strength = read_ban_key(key)
            if ban := self._ledger.get(network, strength):
                reasons[reason] += 1
                self._lost += self._strike_out([ban], Ending.REFUSED)
        for reason, count in reasons.most_common(_MAX_REASONS):
            _log.error("the kernel refused %d bans that were in force: %s", count, reason)

    def _strike_out(self, bans: Iterable[Ban], cause: Ending) -> list[Ended]:
        struck = [self._ledger.remove(ban.network, ban.strength) for ban in bans]
        return [Ended(*gone, cause) for gone in struck if gone is not None]

    def _tell_alerts(self, alerts: Sequence[Alert | FloodAlert]) -> None:
        policies = self._policy.rules.detectors
        for alert in alerts:
            if isinstance(alert, FloodAlert):
                self._listeners.flooded(alert, policies[alert.detector].mode)
            else:
                self._listeners.alerted(alert, policies[alert.detector].at(alert.source)[0])

    def _tell_dropped(self) -> None:
        """Tell of observed entries that newer ones displaced, once those are on record: a batch may hold both."""
        if dropped := self._ledger.take_dropped():
            self._listeners.ended([Ended(ban, claims, Ending.YIELDED) for ban, claims in dropped])

    def _tell_ended(self, ended: list[Ended]) -> None:
        """Tell of what ended, and of what was lost in the meantime."""
        lost, self._lost = self._lost, []
        self._listeners.ended(ended + lost)
