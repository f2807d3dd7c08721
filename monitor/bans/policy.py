"""Policy: what becomes of an alert, and of what a person orders, in two steps.

The policy proposes (`propose`, `order`, `follow_up`) into a draft of one batch, the enforcers answer, and `settle`
enters what is in force: ledger, offences, escalation, budget. A ban that the kernel refuses is no offence.
"""

import random
import sys
from collections.abc import Callable, Iterable, Mapping

import msgspec

from monitor.bans.budget import Budgets
from monitor.bans.claims import Claims, effective, is_same_claim
from monitor.bans.covering import does_as_much, is_as_lasting
from monitor.bans.decision import WRITTEN, Decision, Ended, Ending, FollowUp, Settlement, Verdict
from monitor.bans.draft import Draft
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.notes import Note
from monitor.bans.repeats import RepeatOffenders
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.model import ports
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, RecordedEvidence, Strength
from monitor.model.bans import MANUAL, NOT_DETECTORS, AllowEntry, Ban, ClaimOrigin, Mode, Offence, Spared
from monitor.model.saved_rows import SavedWindow


class Policy:
    """Turns alerts and orders into decisions, and enters in the ledger what is in force. Time is passed in."""

    def __init__(
        self, guard: Guard, ledger: Ledger, rules: Rules, uniform: Callable[[], float] = random.random
    ) -> None:
        """`uniform` gives numbers from 0 to 1 for the jitter of ban times."""
        self.guard = guard
        self.ledger = ledger
        self._uniform = uniform
        self._follow(rules)

    def _follow(self, rules: Rules) -> None:
        self.rules = rules
        self.budgets = Budgets(rules.bans_per_minute)
        self._repeats = {strength: RepeatOffenders(rules) for strength in Strength}

    def follow(self, rules: Rules, offences: Iterable[Offence]) -> None:
        """Take up changed rules; `offences` is the history, oldest first."""
        if rules != self.rules:
            spent = self.budgets
            self._follow(rules)
            if rules.bans_per_minute == spent.bans_per_minute:
                self.budgets = spent
            self.remember(offences)

    def relearn(self, offences: Iterable[Offence]) -> None:
        """Count all over again; `offences` is the history, oldest first."""
        budgets = self.budgets
        self._follow(self.rules)
        self.budgets = budgets
        self.remember(offences)

    def remember(self, offences: Iterable[Offence]) -> None:
        """Count past offences, oldest first, so that a restart forgives nothing."""
        for offence in offences:
            if self._counts(offence.detector, offence.strength):
                self._repeats[offence.strength].count(offence)

    def tables(self) -> dict[str, SavedWindow]:
        """Return what is counted of past offences, by name."""
        return {f"{kind}/{name}": one for kind, of in self._repeats.items() for name, one in of.tables().items()}

    def draft(self, now_s: float) -> Draft:
        """Begin a batch."""
        return Draft(self.ledger, now_s)

    def propose(self, draft: Draft, alert: Alert) -> Decision:
        """Propose the answer to an alert; bans count from the alert's own time."""
        policy = self.rules.detectors[alert.detector]
        mode, first_s = policy.at(alert.source)
        network = self._target(alert, policy, mode)
        text = alert.doubt
        if policy.ports and not ports.can_be_limited(network):
            text = text or "prefixes of this length cannot be banned by port"
        doubt = f" ({text})" if text else ""
        # few differ, and bans hold it for long
        reason = sys.intern(f"{alert.evidence.count} {alert.evidence.what}{doubt}")
        mode = Mode.OBSERVE if text or policy.observes_part(network) else mode
        claim = _claim(ports.at(network, policy.ports), alert, mode, first_s, alert.detector, reason)
        step = self._step(draft, claim)
        bantime_s = min(self.rules.increment.bantime_s(first_s, step, self._uniform), alert.longest_s)
        claim = msgspec.structs.replace(claim, until_s=alert.time_s + bantime_s)
        return self._weigh(draft, claim, alert, step)

    def follow_up(self, draft: Draft, wanted: FollowUp) -> Decision:
        """Propose a ban that follows from one in force."""
        alert, cause = wanted.alert, wanted.decision
        assert cause.claim is not None  # noqa: S101 - only bans have follow-ups
        reason = f"after {cause.claim.reason} ({cause.detector})"
        is_observed = self.rules.detectors[alert.detector].observes_part(wanted.network)
        mode = Mode.OBSERVE if is_observed else cause.claim.mode
        network = ports.at(wanted.network, cause.claim.network.ports)  # wider or longer, but no more of our ports
        claim = _claim(network, alert, mode, wanted.bantime_s, wanted.detector, reason)
        return self._weigh(draft, claim, alert, cause.step)

    def order(
        self,
        draft: Draft,
        network: Network,
        strength: Strength,
        bantime_s: float,
        reason: str,
        origin: ClaimOrigin = ClaimOrigin.OPERATOR,
        name: str = MANUAL,
        mode: Mode = Mode.ENFORCE,
    ) -> Decision:
        """Propose a ban that a person, a file or a peer orders; the guard applies to it, the budget does not."""
        now_s = draft.now_s
        claim = Ban(network, strength, now_s, now_s + bantime_s, name, reason, mode, origin)
        return self._weigh(draft, claim, None, 0)

    def settle(self, draft: Draft, refused: Mapping[bytes, str]) -> Settlement:
        """Enter what is in force, given why the kernel refused bans (by `ban_key`).

        What was refused is given back to the budget and leaves no trace but its decision.
        """
        settlement = Settlement([], [], [])
        for decision in draft.decisions:
            if failure := self._failure(decision, refused, draft.now_s):
                if decision.is_paid and decision.claim:
                    self.budgets[decision.claim.strength].give_back()
                settled = msgspec.structs.replace(decision, verdict=Verdict.REFUSED, ban=None, failure=failure)
            else:
                settled = self._enter(decision, draft.now_s, settlement)
            settlement.decisions.append(settled)
        return settlement

    def _failure(self, decision: Decision, refused: Mapping[bytes, str], now_s: float) -> str:
        """Return why a decision cannot stand: its ban, or the one that it relied on, was refused."""
        ban = decision.claim or decision.ban
        if ban is None or ban.mode is Mode.OBSERVE or not (decision.claim or decision.verdict is Verdict.COVERED):
            return ""
        failure = refused.get(ban.key, "") if refused else ""
        if decision.verdict in WRITTEN:
            return failure
        in_force = self.ledger.get(ban.network, ban.strength)
        is_held = in_force is not None and in_force.mode is Mode.ENFORCE and in_force.until_s >= max(ban.until_s, now_s)
        return "" if is_held else failure or "the ban that holds it was lost meanwhile"

    def _enter(self, decision: Decision, now_s: float, settlement: Settlement) -> Decision:
        """Enter one decision that stands."""
        alert, claim = decision.alert, decision.claim
        is_ours = claim is None or claim.origin.is_local
        if alert:
            self.ledger.note(alert.source, Note(alert.time_s, decision.verdict, alert))
        elif is_ours and decision.network.is_host:
            self.ledger.note(decision.network.address, Note(now_s, decision.verdict, None))
        if claim is None:
            return _with_history(decision)
        if (weaker := decision.yielding) and (gone := self.ledger.remove(weaker.network, weaker.strength)):
            settlement.ended.append(Ended(*gone, Ending.YIELDED))
        ban = self.ledger.put(claim, now_s)
        if claim.mode is Mode.OBSERVE and not is_ours:
            ban = claim  # what others hold is nothing that this led to
        if (
            decision.verdict not in (Verdict.BAN, Verdict.OBSERVE) or not is_ours
        ):  # part of an earlier offence, or of none here
            return _with_history(msgspec.structs.replace(decision, ban=ban))
        offence = _offence(claim, alert, decision.step)
        settled = msgspec.structs.replace(decision, ban=ban, offence=offence)
        if alert and self._counts(claim.detector, claim.strength):
            repeats = self._repeats[claim.strength].count(offence)
            settlement.follow_ups.extend(FollowUp(*what, alert, settled) for what in repeats)
        return settled

    def _target(self, alert: Alert, policy: DetectorPolicy, mode: Mode) -> Network:
        """Return the network to ban: the source alone where its prefix holds an address that must not be banned."""
        if not alert.is_alone:
            return alert.network
        network = alert.network
        is_spared = mode is Mode.ENFORCE and policy.observes_part(network)
        return host(alert.source) if is_spared or self._allowed(network, alert) else network

    def _allowed(self, network: Network, alert: Alert | None) -> AllowEntry | None:
        """Return what protects a network, from everyone or from the detector of this alert."""
        entry = self.guard.protects(network)
        return self.rules.detectors[alert.detector].allowed(network) if entry is None and alert else entry

    def _step(self, draft: Draft, claim: Ban) -> int:
        """Return the escalation step of an alert's ban.

        While a ban of the same detector is in force, what is still logged belongs to the offence that it answers: it
        had that offence's step, which has been counted since.
        """
        if not self._counts(claim.detector, claim.strength):
            return 0
        step = self._repeats[claim.strength].step(claim.network.whole, claim.detector, claim.since_s)
        earlier = _claim_like(claim, draft.claims_of(claim.key), draft.now_s) if step else None
        return step - 1 if earlier is not None and earlier.mode is claim.mode else step

    def _counts(self, detector: str, strength: Strength) -> bool:
        """Whether an offence makes later bans longer or wider."""
        if detector in NOT_DETECTORS:
            return False
        if strength is Strength.SPOOFABLE:
            return self.rules.escalate_spoofable
        return strength is Strength.PROVEN

    def _weigh(self, draft: Draft, claim: Ban, alert: Alert | None, step: int) -> Decision:
        """Check a wanted ban against guard, ledger, room and budget, and take the proposal down."""
        network, name, now_s = claim.network, claim.detector, draft.now_s
        if (entry := self._allowed(network, alert)) is not None:
            allowed = Decision(Verdict.ALLOWLISTED, network, name, entry=entry, alert=alert, step=step, wish=claim)
            return draft.refuse(allowed)
        if claim.until_s <= now_s:
            return draft.refuse(Decision(Verdict.STALE, network, name, alert=alert, step=step))
        for ban, claims in draft.covering(network):
            if does_as_much(ban, claim) and is_as_lasting(claims, claim, now_s):
                return draft.refuse(Decision(Verdict.COVERED, network, name, ban=ban, alert=alert, step=step))
        key = claim.key
        claims = draft.claims_of(key)
        current = effective(claims, now_s) if claims else None
        verdict, claim, is_paid = self._classify(claim, claims, current, now_s)
        has_room, yielding = draft.room_for(claim, current)
        if not has_room:
            if is_paid:
                self.budgets[claim.strength].give_back()
            return draft.refuse(Decision(Verdict.FULL, network, name, alert=alert, step=step, wish=claim))
        decision = Decision(verdict, network, name, claim, alert=alert, step=step, is_paid=is_paid, yielding=yielding)
        return draft.add(decision, claim, key, current)

    def _classify(self, claim: Ban, claims: Claims, current: Ban | None, now_s: float) -> tuple[Verdict, Ban, bool]:
        """Return the verdict on a claim, the claim (never shorter than its origin's earlier one), and who pays.

        `claims` are those on the same network and strength, `current` is what they amount to.
        """
        earlier = _claim_like(claim, claims, now_s) if claims else None
        if earlier is not None and earlier.mode is claim.mode:
            until_s = max(earlier.until_s, claim.until_s)
            claim = msgspec.structs.replace(claim, since_s=earlier.since_s, until_s=until_s)
        if claim.mode is Mode.OBSERVE:
            return Verdict.OBSERVE, claim, False
        if current is not None and current.mode is Mode.ENFORCE:
            return (Verdict.REFRESH if claim.until_s > current.until_s else Verdict.CLAIM), claim, False
        if claim.origin is not ClaimOrigin.DETECTOR:
            return Verdict.BAN, claim, False
        if not self.budgets[claim.strength].spend(now_s):
            return Verdict.OVER_BUDGET, msgspec.structs.replace(claim, mode=Mode.OBSERVE), False
        return Verdict.BAN, claim, True


def _claim_like(claim: Ban, claims: Claims, now_s: float) -> Ban | None:
    """Return the claim that the same origin has by now; None if none, or if it has ended."""
    return next((one for one in claims if one.until_s > now_s and is_same_claim(one, claim)), None)


def _claim(network: Network, alert: Alert, mode: Mode, bantime_s: float, detector: str, reason: str) -> Ban:
    return Ban(network, alert.strength, alert.time_s, alert.time_s + bantime_s, detector, reason, mode)


_SPARED = {
    Verdict.OVER_BUDGET: Spared.OVER_BUDGET,
    Verdict.ALLOWLISTED: Spared.ALLOWLISTED,
    Verdict.FULL: Spared.FULL,
}


def _with_history(decision: Decision) -> Decision:
    """Add what the history tells of an alert that led to no ban; nothing counts it."""
    if decision.alert is None:
        return decision
    wanted, spared = decision.claim or decision.wish, _SPARED.get(decision.verdict)
    if wanted is None or spared is None:
        return decision
    offence = _offence(wanted, decision.alert, decision.step)
    return msgspec.structs.replace(decision, spared=msgspec.structs.replace(offence, spared=spared))


def _offence(ban: Ban, alert: Alert | None, step: int) -> Offence:
    evidence = msgspec.json.encode(RecordedEvidence.of(alert)) if alert else b""
    bantime_s = ban.until_s - ban.since_s
    return Offence(
        ban.since_s, ban.network.whole, ban.detector, ban.strength, ban.mode, bantime_s, step, ban.reason, evidence
    )
