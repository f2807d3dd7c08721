"""Floods that last: their alerts come again and again, and a flood is over when none came for a minute. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from monitor.detectors.detector import Detector
from monitor.metrics.metric import Sample
from monitor.model.alerts import Alert, FloodAlert

_OVER_S = 60.0
"""Half a dozen times the interval of its alerts."""


class Floods:
    """The last flood that each detector reported."""

    def __init__(self) -> None:
        """Know of none."""
        self.last: dict[str, FloodAlert] = {}
        """By detector; the flood may be over."""
        self._since_s: dict[str, float] = {}

    def note(self, alerts: Iterable[Alert | FloodAlert]) -> None:
        """Take in the floods among new alerts."""
        for alert in alerts:
            if isinstance(alert, FloodAlert):
                before = self.last.get(alert.detector)
                if before is None or not _lasts(before, alert.time_s):
                    self._since_s[alert.detector] = alert.evidence.first_s
                self.last[alert.detector] = alert

    def active(self, now_s: float) -> dict[str, FloodAlert]:
        """Return the floods that last, by detector."""
        return {name: one for name, one in self.last.items() if _lasts(one, now_s)}

    def describe(self, now_s: float) -> list[str]:
        """Say what floods last, and for how long."""
        return [
            f"there is a flood, for {max(0.0, now_s - self._since_s[name]):.0f} s by now: {one}"
            for name, one in self.active(now_s).items()
        ]

    def samples(self, detectors: Iterable[Detector[Any]], now_s: float) -> Iterator[Sample]:
        """Yield which floods last, and how large they were last, of each detector that can report any."""
        active = self.active(now_s)
        for detector in detectors:
            if not detector.reports_floods:
                continue
            flood = active.get(detector.name)
            rate = flood.evidence.count / flood.evidence.findtime_s if flood else 0.0
            yield "nodewarden_flood_active", (detector.name,), float(flood is not None)
            yield "nodewarden_flood_attempts_per_second", (detector.name,), rate


def _lasts(flood: FloodAlert, now_s: float) -> bool:
    return now_s - flood.time_s < _OVER_S
