"""Counts what was decided and what ended: a listener."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.bans.decision import WRITTEN, Decision, Ended, Ending, Verdict
from monitor.daemon.pipeline.decision_fields import Place, PodOf, no_pods
from monitor.daemon.pipeline.listeners import Listener
from monitor.metrics.metric import Exemplar, Series, exemplar
from monitor.model.addresses import Network
from monitor.model.alerts import UNKNOWN_PARTY, Alert, FloodAlert, Party, Strength
from monitor.model.bans import Mode

ALERTS, DECISIONS = "nodewarden_detector_alerts_total", "nodewarden_decisions_total"
"""The counters that have exemplars."""


class _Latest(NamedTuple):
    """Whom an alert or a decision was about, what was attacked, and when it was counted (wall time in seconds)."""

    network: Network | None
    ours: Party
    time_s: float


class DecisionMetrics(Listener):
    """Totals since the start."""

    name = "metrics"

    def __init__(
        self,
        observe_latency: Callable[[float], None] = lambda _: None,
        pod_of: PodOf = no_pods,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`observe_latency` takes seconds from event to enforcement; `clock` gives wall time in seconds."""
        self._observe_latency = observe_latency
        self._place = Place(pod_of=pod_of)
        self._clock = clock
        self._latest: dict[Series, _Latest] = {}
        self.changes = 0
        """Another number whenever a total may be another one."""
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
        self.changes += 1
        self.alerts[alert.detector, mode, alert.strength] += 1
        self._latest[ALERTS, (alert.detector, mode, alert.strength)] = _Latest(alert.network, alert.ours, self._clock())

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:
        """Count a flood; forged sources prove nothing about anybody."""
        self.changes += 1
        self.floods[alert.detector] += 1
        self.alerts[alert.detector, mode, Strength.SPOOFABLE] += 1
        self._latest[ALERTS, (alert.detector, mode, Strength.SPOOFABLE)] = _Latest(None, alert.ours, self._clock())

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Count decisions, and measure those that are in force."""
        self.changes += 1
        for decision in decisions:
            wanted = decision.claim or decision.wish
            # names of lists and peers come from elsewhere, without end
            is_bulk = wanted is not None and wanted.origin.is_bulk
            series = str(wanted.origin) if wanted and is_bulk else decision.detector, decision.verdict
            self.decisions[series] += 1
            ours = decision.alert.ours if decision.alert else UNKNOWN_PARTY
            self._latest[DECISIONS, series] = _Latest(decision.network, ours, done_s)
            if decision.alert and decision.verdict in WRITTEN:
                self._observe_latency(max(0.0, done_s - decision.alert.time_s))

    def ended(self, ended: Sequence[Ended]) -> None:
        """Count bans in force that are over; a claim that ends while others hold the ban is none."""
        self.changes += 1
        for one in ended:
            self.ended_bans[one.cause] += one.ban.mode is Mode.ENFORCE and one.remaining is None

    def exemplars(self) -> dict[Series, Exemplar]:
        """Return of each counter the latest that it counted: who, against what."""
        return {series: self._exemplar(latest) for series, latest in self._latest.items()}

    def _exemplar(self, latest: _Latest) -> Exemplar:
        network = str(latest.network) if latest.network else ""
        return exemplar(latest.time_s, network=network, service=latest.ours.service, pod=self._place.pod(latest.ours))
