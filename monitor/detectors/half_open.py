"""Half-open connections: first packets of handshakes that are never completed, by source and in total (a SYN flood)."""

from collections import Counter, deque
from collections.abc import Iterable

from monitor.detectors.flow_limits import FlowLimits, RateDetector, flow_alert
from monitor.detectors.probes import service_key, show_service
from monitor.detectors.scoring import SAMPLE_SIZE
from monitor.model.addresses import format_address
from monitor.model.alerts import Alert, Evidence, FloodAlert
from monitor.model.flows import Flow, FlowBatch
from monitor.model.protocols import ESTABLISHED_STATES

_LOOK_BACK_S = 2.0
_ROUND_TRIP_S = 0.5
"""Attempts younger than this may yet be completed: so long they do not count towards a flood."""
_TELL_AGAIN_S = 10.0
_FLOWS_REMEMBERED = 1024


class HalfOpen(RateDetector):
    """Fires for a source whose attempts stay unanswered, and when there are too many such attempts in all.

    Attempts that are refused at once leave nothing open and count only in total. In total, what counts is how many
    more attempts there were within two seconds than complete handshakes, if those are the smaller part: with
    forged sources there is nobody to ban, but the flood has a name. This holds while events are lost, too. Half a
    second is left to each attempt, so that traffic that begins or ends all at once is no flood.
    """

    name = "half_open"

    def __init__(self, limits: FlowLimits, total: int) -> None:
        """Take the limits by source, and how many half-open connections in all are a flood."""
        super().__init__(limits)
        self.total = total
        self._looks: deque[tuple[float, int, int]] = deque()
        self._young: deque[tuple[float, int]] = deque()
        self._attempts = self._completions = 0
        self._told_s = float("-inf")
        self._seen: deque[Flow] = deque(maxlen=_FLOWS_REMEMBERED)

    def feed(self, batch: FlowBatch) -> Iterable[Alert | FloodAlert]:
        """Return the alerts that a batch raised."""
        alerts: list[Alert | FloodAlert] = []
        open_ones = [one for one in batch.incomplete if not one.was_refused]
        for _, source, count in self.rate.add([one.source for one in open_ones], batch.time_s):
            services = dict.fromkeys(show_service(service_key(one)) for one in open_ones if one.source == source)
            sample = tuple(services)[:SAMPLE_SIZE]
            what = "half-open connections"
            alerts.append(flow_alert(self.name, self.thresholds, source, batch.time_s, count, what, sample=sample))
        if (count := self._look(batch)) >= self.total and not 0 <= batch.time_s - self._told_s < _TELL_AGAIN_S:
            self._told_s = batch.time_s
            alerts.append(self._flood(count, batch))
        return alerts

    def _look(self, batch: FlowBatch) -> int:
        """Return how many attempts of two seconds are not complete; 0 while most are."""
        looks, young = self._looks, self._young
        # What has no handshake is not what is flooded, however much there is of it.
        self._seen.extend([flow for flow in batch.opened if flow.protocol in ESTABLISHED_STATES])
        if batch.attempts or batch.completions:
            if looks and batch.time_s < looks[-1][0]:  # the clock was set back
                looks.clear()
                young.clear()
                self._attempts = self._completions = 0
            looks.append((batch.time_s, batch.attempts, batch.completions))
            young.append((batch.time_s, batch.attempts))
            self._completions += batch.completions
        while young and young[0][0] <= batch.time_s - _ROUND_TRIP_S:
            self._attempts += young.popleft()[1]
        while looks and looks[0][0] <= batch.time_s - _ROUND_TRIP_S - _LOOK_BACK_S:
            _, attempts, completions = looks.popleft()
            self._attempts -= attempts
            self._completions -= completions
        missing = self._attempts - self._completions
        return missing if missing > self._completions else 0

    def _flood(self, count: int, batch: FlowBatch) -> FloodAlert:
        seen = self._seen
        busiest = Counter(map(_place, seen)).most_common(1)
        address, service = busiest[0][0] if busiest else ("an unknown address", "unknown")
        sources = len({flow.source for flow in seen})
        what = f"half-open connections ({sources} sources in the last {len(seen)} flows)"
        evidence = Evidence(count, self.total, _LOOK_BACK_S, batch.time_s - _LOOK_BACK_S, batch.time_s, what)
        return FloodAlert(self.name, batch.time_s, f"{service} of {address}", evidence)


def _place(flow: Flow) -> tuple[str, str]:
    return format_address(flow.destination), show_service(service_key(flow))
