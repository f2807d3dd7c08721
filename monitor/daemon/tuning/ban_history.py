"""What one configuration banned: a listener that keeps the bans of a replay, in bounded memory."""

from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from monitor.bans.decision import WRITTEN, Decision, Ended, Ending, Verdict
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode, ban_key

MAX_SPANS = 50_000
"""The most bans that are kept of one side, about 0.4 kB each."""


class Span(msgspec.Struct, gc=False):
    """One ban from its start to its end (wall time, seconds); `is_observed`: it would have been one."""

    network: Network
    strength: Strength
    is_observed: bool
    since_s: float
    until_s: float
    detector: str
    reason: str


class BudgetUse(msgspec.Struct, frozen=True):
    """How much of the budget of new bans was used."""

    per_minute: int
    """The budget itself: new bans a minute, of each strength of evidence."""
    peak: int
    """The most new bans of one strength within any minute."""
    refused: int
    """Bans that were only observed, because the budget was spent."""


class BanHistory(msgspec.Struct, frozen=True):
    """What one configuration did over a recording."""

    spans: list[Span]
    omitted: int
    """Bans beyond `MAX_SPANS`, which are only counted."""
    budget: BudgetUse
    alerts: dict[str, int]
    """By detector, how often its threshold was reached."""
    spared: dict[str, int]
    """By verdict, alerts that led to no ban although their detector enforces."""


_SPARED = frozenset({Verdict.ALLOWLISTED, Verdict.OVER_BUDGET, Verdict.FULL, Verdict.REFUSED})


class BanCollector(Listener):
    """Keeps what was banned; `now_s` (wall time, seconds) must follow that of the input that is being replayed."""

    name = "compare"

    def __init__(self, max_spans: int = MAX_SPANS) -> None:
        """Start before the first input."""
        self.now_s = 0.0
        self._max_spans = max_spans
        self._spans: list[Span] = []
        self._open: dict[tuple[bytes, bool], Span] = {}
        self._omitted = 0
        self._alerts: Counter[str] = Counter()
        self._spared: Counter[str] = Counter()
        self._recent: dict[Strength, deque[float]] = {strength: deque() for strength in Strength}
        self._peak = 0

    def alerted(self, alert: Alert, mode: Mode) -> None:  # noqa: ARG002 - as a listener
        """Count it."""
        self._alerts[alert.detector] += 1

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - as a listener
        """Keep what is in force, or would be."""
        for decision in decisions:
            verdict = decision.verdict
            if verdict in _SPARED:
                self._spared[verdict] += 1
            if verdict in (Verdict.OBSERVE, Verdict.OVER_BUDGET) or verdict in WRITTEN:
                self._keep(decision)

    def _keep(self, decision: Decision) -> None:
        ban = decision.ban or decision.claim
        claim = decision.claim
        if ban is None or claim is None or claim.origin is not ClaimOrigin.DETECTOR:
            return  # what people ordered is the same under any configuration
        if decision.is_paid:
            self._pay(ban.strength)
        is_observed = ban.mode is Mode.OBSERVE
        key = ban_key(ban.network, ban.strength), is_observed
        known = self._open.get(key)
        if known is not None and known.until_s >= claim.since_s:
            known.until_s = ban.until_s
            return
        if len(self._spans) >= self._max_spans:
            self._omitted += 1
            self._open.pop(key, None)
            return
        span = Span(ban.network, ban.strength, is_observed, self.now_s, ban.until_s, claim.detector, claim.reason)
        self._open[key] = span
        self._spans.append(span)

    def _pay(self, strength: Strength) -> None:
        recent = self._recent[strength]
        recent.append(self.now_s)
        while recent and not 0 <= self.now_s - recent[0] < 60.0:  # a clock set back starts another minute
            recent.popleft()
        self._peak = max(self._peak, len(recent))

    def ended(self, ended: Sequence[Ended]) -> None:
        """Cut what ended before its time."""
        for one in ended:
            key = ban_key(one.ban.network, one.ban.strength), one.ban.mode is Mode.OBSERVE
            known = self._open.get(key)
            if known is None:
                continue
            if one.remaining is not None:
                known.until_s = one.remaining.until_s
            else:
                del self._open[key]
                if one.cause is not Ending.EXPIRED:
                    known.until_s = max(known.since_s, min(known.until_s, self.now_s))

    def moved(self, claims: Sequence[Ban]) -> None:
        """Follow a clock that was set: what is in force keeps the time that it had left."""
        for claim in claims:
            known = self._open.get((ban_key(claim.network, claim.strength), claim.mode is Mode.OBSERVE))
            if known is not None and known.detector == claim.detector:
                known.until_s = claim.until_s

    def history(self, bans_per_minute: int) -> BanHistory:
        """Return what was kept, under a configuration with this budget."""
        refused = self._spared[Verdict.OVER_BUDGET]
        use = BudgetUse(bans_per_minute, self._peak, refused)
        return BanHistory(self._spans, self._omitted, use, dict(self._alerts), dict(self._spared))
