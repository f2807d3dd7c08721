"""Policy: what becomes of an alert, and of what a person orders."""

import enum
import random
import sys
from collections.abc import Callable, Iterable, Mapping

import msgspec

from monitor.bans.budget import Budget
from monitor.bans.escalation import Escalation, Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import Ladder, Recidive, Step
from monitor.bans.ledger import Ledger, Note, Record
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, Strength
from monitor.model.bans import MANUAL, PREFIX, RECIDIVE, AllowEntry, Ban, Mode, Offence

_SLACK = 0.05


class Verdict(enum.StrEnum):
    """What was decided; a closed set, used as a metric label."""

    BAN = "ban"
    """A new ban."""
    REFRESH = "refresh"
    """A ban that was in force lasts longer."""
    OBSERVE = "observe"
    """It would have been a ban, but the detector only observes."""
    OVER_BUDGET = "over_budget"
    """It is only observed, because there were too many bans within a minute."""
    ALLOWLISTED = "allowlisted"
    """Refused: the guard protects the address."""
    COVERED = "covered"
    """Nothing to do: a ban in force does as much already."""
    STALE = "stale"
    """Refused: it would have ended before now."""
    FULL = "full"
    """Refused: the ledger is full."""


class Decision(msgspec.Struct, frozen=True):
    """A verdict with what it rests on: `ban` is what is now in force, or is only observed."""

    verdict: Verdict
    network: Network
    detector: str
    ban: Ban | None = None
    entry: AllowEntry | None = None
    alert: Alert | None = None
    replaces: Ban | None = None


class DetectorPolicy(msgspec.Struct, frozen=True):
    """How alerts of one detector are answered."""

    mode: Mode
    bantime_s: float


class Rules(msgspec.Struct, frozen=True):
    """How alerts are answered."""

    detectors: Mapping[str, DetectorPolicy]
    bans_per_minute: int = 300
    increment: Increment = Increment()
    escalate_spoofable: bool = False
    """Whether evidence that anyone can forge counts towards longer, repeated and prefix bans."""
    recidive_maxretry: int = 0
    """Bans of one network within `recidive_findtime_s` that lead to one of `recidive_bantime_s`; below 2: never."""
    recidive_findtime_s: float = 86400.0
    recidive_bantime_s: float = 604800.0
    ladder: tuple[Step, ...] = ()
    ladder_findtime_s: float = 86400.0


class Policy:
    """Turns alerts and orders into decisions, and keeps the ledger. Time is passed in."""

    def __init__(
        self,
        guard: Guard,
        ledger: Ledger,
        rules: Rules,
        record: Record | None = None,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`record` is told of offences; `uniform` gives numbers from 0 to 1 for the jitter of ban times."""
        self.guard = guard
        self.ledger = ledger
        self._record = record
        self._uniform = uniform
        self._follow(rules)

    def _follow(self, rules: Rules) -> None:
        self.rules = rules
        self.budget = Budget(rules.bans_per_minute)
        self.escalation = Escalation(rules.increment)
        self._ladder = Ladder(rules.ladder, rules.ladder_findtime_s)
        self._recidive = (
            Recidive(
                maxretry=rules.recidive_maxretry,
                findtime_s=rules.recidive_findtime_s,
                bantime_s=rules.recidive_bantime_s,
            )
            if rules.recidive_maxretry >= 2
            else None
        )

    def follow(self, rules: Rules, offences: Iterable[Offence]) -> None:
        """Take up changed rules; `offences` is the history, oldest first."""
        if rules != self.rules:
            spent = self.budget
            self._follow(rules)
            if rules.bans_per_minute == spent.bans_per_minute:
                self.budget = spent
            self.remember(offences)

    def remember(self, offences: Iterable[Offence]) -> None:
        """Count past offences, oldest first, so that a restart forgives nothing."""
        for offence in offences:
            if self._counts(offence.detector, offence.strength):
                self._count(offence)

    def decide(self, alert: Alert, now_s: float) -> list[Decision]:
        """Decide on an alert; bans count from the alert's own time. What follows from the ban comes after it."""
        policy = self.rules.detectors[alert.detector]
        network = self._target(alert)
        step = 0
        if self._counts(alert.detector, alert.strength):
            step = self.escalation.step(network, alert.detector, alert.time_s)
        bantime_s = self.rules.increment.bantime_s(policy.bantime_s, step, self._uniform)
        reason = sys.intern(f"{alert.evidence.count} {alert.evidence.what}")  # few differ, and bans hold it for long
        ban = _ban(network, alert, policy.mode, bantime_s, alert.detector, reason)
        decisions = [self._settle(ban, now_s, alert, step)]
        self.ledger.note(alert.source, Note(alert.time_s, decisions[0].verdict, alert))
        if decisions[0].verdict in (Verdict.BAN, Verdict.OBSERVE) and self._counts(alert.detector, alert.strength):
            for name, wider, longer_s in self._count(_offence(ban, alert, step)):
                follow_up = _ban(wider, alert, policy.mode, longer_s, name, f"after {reason} ({alert.detector})")
                decisions.append(self._settle(follow_up, now_s, alert, step))
        return decisions

    def order(self, network: Network, strength: Strength, bantime_s: float, reason: str, now_s: float) -> Decision:
        """Decide on a ban that a person orders; the guard holds against people too, the budget does not."""
        decision = self._settle(Ban(network, strength, now_s, now_s + bantime_s, MANUAL, reason), now_s, None, 0)
        if network.is_host:
            self.ledger.note(network.address, Note(now_s, decision.verdict, None))
        return decision

    def _target(self, alert: Alert) -> Network:
        """Return the network to ban: the source alone where its prefix holds somebody protected."""
        return host(alert.source) if alert.is_alone and self.guard.protects(alert.network) else alert.network

    def _counts(self, detector: str, strength: Strength) -> bool:
        """Whether an offence makes later bans longer or wider."""
        if detector in (MANUAL, RECIDIVE, PREFIX):
            return False
        if strength is Strength.SPOOFABLE:
            return self.rules.escalate_spoofable
        return strength is Strength.PROVEN

    def _count(self, offence: Offence) -> list[tuple[str, Network, float]]:
        """Count an offence; return the bans that follow from it: detector, network, time."""
        self.escalation.count(offence)
        follow_ups = []
        if self._recidive and self._recidive.crosses(offence):
            follow_ups.append((RECIDIVE, offence.network, self._recidive.bantime_s))
        if (prefix := self._ladder.climb(offence)) is not None:
            follow_ups.append((PREFIX, prefix, offence.bantime_s))
        return follow_ups

    def _settle(self, ban: Ban, now_s: float, alert: Alert | None, step: int) -> Decision:
        """Hold a wanted ban against guard, ledger and budget, and enter what comes of it."""
        network = ban.network
        if (entry := self.guard.protects(network)) is not None:
            return Decision(Verdict.ALLOWLISTED, network, ban.detector, entry=entry, alert=alert)
        if ban.until_s <= now_s:
            return Decision(Verdict.STALE, network, ban.detector, alert=alert)
        for covering in self.ledger.covering(network):
            if covering.until_s > now_s and _does_as_much(covering, ban):
                return Decision(Verdict.COVERED, network, ban.detector, ban=covering, alert=alert)
        current = self.ledger.get(network, ban.strength)
        if current is not None and current.until_s <= now_s:  # ended, and not struck out yet
            current = None
        if current is None and self.ledger.is_full:
            return Decision(Verdict.FULL, network, ban.detector, alert=alert)
        verdict, ban = self._weigh(ban, current, now_s)
        self.ledger.put(ban)
        if self._record and verdict is not Verdict.REFRESH:
            self._record.add_offence(_offence(ban, alert, step))
        return Decision(verdict, network, ban.detector, ban=ban, alert=alert, replaces=current)

    def _weigh(self, ban: Ban, current: Ban | None, now_s: float) -> tuple[Verdict, Ban]:
        """Return what kind of ban it becomes beside the current one, never a shorter one."""
        if current is not None and current.mode is ban.mode:
            ban = msgspec.structs.replace(ban, since_s=current.since_s, until_s=max(current.until_s, ban.until_s))
        if ban.mode is Mode.OBSERVE:
            return Verdict.OBSERVE, ban
        if current is not None and current.mode is Mode.ENFORCE:
            return Verdict.REFRESH, ban
        if ban.detector != MANUAL and not self.budget.spend(now_s):
            return Verdict.OVER_BUDGET, msgspec.structs.replace(ban, mode=Mode.OBSERVE)
        return Verdict.BAN, ban


def _ban(network: Network, alert: Alert, mode: Mode, bantime_s: float, detector: str, reason: str) -> Ban:
    return Ban(network, alert.strength, alert.time_s, alert.time_s + bantime_s, detector, reason, mode)


def _offence(ban: Ban, alert: Alert | None, step: int) -> Offence:
    evidence = msgspec.json.encode(alert.evidence) if alert else b""
    bantime_s = ban.until_s - ban.since_s
    return Offence(
        ban.since_s, ban.network, ban.detector, ban.strength, ban.mode, bantime_s, step, ban.reason, evidence
    )


def _does_as_much(current: Ban, wanted: Ban) -> bool:
    """Whether the ban in force leaves nothing for the wanted one to add."""
    if (current.strength is Strength.DESTINATION) is not (wanted.strength is Strength.DESTINATION):
        return False  # one is about what comes from an address, the other about what goes to it
    if wanted.mode is Mode.OBSERVE:
        # What would have been banned is banned, or is counted already.
        return current.mode is Mode.ENFORCE or current.strength is wanted.strength
    # Packets logged just before a ban took hold raise alerts just after: those few seconds are not worth a refresh.
    slack_s = 0.0 if wanted.detector == MANUAL else _SLACK * (wanted.until_s - wanted.since_s)
    return (
        current.mode is Mode.ENFORCE
        and current.until_s >= wanted.until_s - slack_s
        and current.strength in (Strength.PROVEN, wanted.strength)
    )
