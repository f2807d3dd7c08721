"""Counts what was decided and what ended: a listener."""

from collections import Counter
from collections.abc import Callable, Sequence

from monitor.bans.decision import WRITTEN, Decision, Ended, Ending, Verdict
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.alerts import Alert, FloodAlert, Strength
from monitor.model.bans import Mode


class DecisionMetrics(Listener):
    """Totals since the start."""

    name = "metrics"

    def __init__(self, observe_latency: Callable[[float], None] = lambda _: None) -> None:
        """`observe_latency` takes seconds from event to enforcement."""
        self._observe_latency = observe_latency
        self.alerts: Counter[tuple[str, Mode, Strength]] = Counter()
        self.floods: Counter[str] = Counter()
        """By detector."""
        self.decisions: Counter[tuple[str, Verdict]] = Counter()
        self.ended_bans: Counter[Ending] = Counter(dict.fromkeys(Ending, 0))
        """Bans in force that ended, by cause."""

    @property
    def refused(self) -> int:
        """How many bans the kernel refused."""
        lost = self.ended_bans[Ending.REFUSED]
        return lost + sum(count for (_, verdict), count in self.decisions.items() if verdict is Verdict.REFUSED)

    def alerted(self, alert: Alert, mode: Mode) -> None:
        """Count an alert."""
        self.alerts[alert.detector, mode, alert.strength] += 1

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:
        """Count a flood; forged sources prove nothing about anybody."""
        self.floods[alert.detector] += 1
        self.alerts[alert.detector, mode, Strength.SPOOFABLE] += 1

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Count decisions, and measure those that are in force."""
        for decision in decisions:
            self.decisions[decision.detector, decision.verdict] += 1
            if decision.alert and decision.verdict in WRITTEN:
                self._observe_latency(max(0.0, done_s - decision.alert.time_s))

    def ended(self, ended: Sequence[Ended]) -> None:
        """Count bans in force that are over; a claim that ends while others hold the ban is none."""
        for one in ended:
            self.ended_bans[one.cause] += one.ban.mode is Mode.ENFORCE and one.remaining is None
