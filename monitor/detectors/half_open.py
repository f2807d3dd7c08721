"""Half-open connections: first packets of handshakes that are never completed, by source and in total (a SYN flood)."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.detectors.detector import Detector
from monitor.detectors.kept import Kept
from monitor.detectors.limits import Limits
from monitor.detectors.origin_rate import RateDetector
from monitor.detectors.origins import origin_alert
from monitor.detectors.probes import our_party, service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.scoring import SAMPLE_SIZE
from monitor.detectors.settings import BANTIME, RECENT, CountingSettings
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.addresses import Address, format_address
from monitor.model.alerts import UNKNOWN_PARTY, Alert, Evidence, FloodAlert, Party
from monitor.model.flows import Flow, FlowBatch, ListenTotals
from monitor.model.protocols import ESTABLISHED_STATES

FLOODS = Metric(
    "nodewarden_detector_floods_total",
    COUNTER,
    "Alerts about no single source: the sources are many, and probably forged. Part of the detector's alerts.",
    ("detector",),
)

EXCUSED = Metric(
    "nodewarden_detector_excused_total",
    COUNTER,
    "Sources over the threshold that were not at fault, because this node dropped or delayed connection attempts.",
    ("detector",),
)

_ANSWERED_PER_HALF_OPEN = 10
"""How many attempts at the same time that the source gave up after the answer count as one."""
_LOOK_BACK_S = 2.0
_ROUND_TRIP_S = 0.5
"""Younger attempts may still be completed, so they do not count towards a flood yet."""
_REPORT_AGAIN_S = 10.0
_FLOWS_REMEMBERED = 1024


class HalfOpenSettings(CountingSettings, frozen=True, kw_only=True):
    """Connections are opened and never completed."""

    findtime_s: Annotated[float, RECENT, Meta(description="How far back attempts of a source are counted.")] = field(
        default=10.0, name="findtime"
    )
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 1_000_000),
        Meta(
            description="Alert when one source leaves this many connections half-open within `findtime`. Attempts that "
            "are refused at once do not count."
        ),
    ] = 200
    total: Annotated[
        int,
        integer(100, 10_000_000),
        Meta(
            description="Report a flood when at least this many attempts stay incomplete within 2 s and they outnumber "
            "the completed ones. The sources of a flood are probably forged, so none is banned for it."
        ),
    ] = 5000


class HalfOpenDetector(RateDetector[FlowBatch]):
    """Fires for a source whose attempts stay unanswered, and when there are too many such attempts in total.

    Attempts that are refused at once leave nothing open and count only in total. Those that are given up after an
    answer count in part: health checks do that now and then, floods all the time. The total is the number of attempts
    within two seconds less the number of completed handshakes, as long as the latter are the smaller part: with forged
    sources there is nobody to ban, but the flood has a target to report. The estimate holds while events are lost.
    Attempts count half a second after they were made, so that traffic that starts or stops at once is no flood.

    A source is not at fault while this node drops or delays attempts. While an accept queue overflows, which attempts
    alone cannot cause, no source is; while listeners drop attempts otherwise or send SYN cookies, no source is that
    completed connections lately.
    """

    name = "half_open"
    takes = (FlowBatch,)
    is_one_way = True
    reports_floods = True
    metrics = (FLOODS, EXCUSED)

    def __init__(self, limits: Limits, total: int) -> None:
        """Take the limits by source, and how many half-open connections in total are a flood."""
        super().__init__(limits)
        self.total = total
        self.floods_total = 0
        self._looks: deque[tuple[float, int, int]] = deque()
        self._young: deque[tuple[float, int]] = deque()
        self._attempts = self._completions = 0
        self._reported_s = float("-inf")
        self._seen: deque[Flow] = deque(maxlen=_FLOWS_REMEMBERED)
        self.excused_total = 0
        """Sources over the threshold that were not at fault."""
        self._listen_totals: ListenTotals | None = None
        self._overflowing_s = self._dropping_s = float("-inf")

    def counts_like(self, old: Self) -> bool:  # noqa: ARG002 - `total` is a threshold
        """Return that it does."""
        return True

    def take_over(self, old: Detector[Any], now_s: float) -> Kept:
        """Continue with the counts; how many attempts there are in total, and what excuses sources, always counts."""
        if isinstance(old, HalfOpenDetector):
            self.floods_total, self.excused_total = old.floods_total, old.excused_total
            self._looks, self._young, self._seen = old._looks, old._young, old._seen
            self._attempts, self._completions = old._attempts, old._completions
            self._reported_s, self._listen_totals = old._reported_s, old._listen_totals
            self._overflowing_s, self._dropping_s = old._overflowing_s, old._dropping_s
        return super().take_over(old, now_s)

    def feed(self, events: Sequence[FlowBatch]) -> list[Alert | FloodAlert]:
        """Return the alerts that batches raised."""
        alerts: list[Alert | FloodAlert] = []
        for batch in events:
            alerts += self._by_source(batch)
            count = self._look(batch)
            if count >= self.total and not 0 <= batch.time_s - self._reported_s < _REPORT_AGAIN_S:
                self._reported_s = batch.time_s
                self.floods_total += 1
                alerts.append(self._flood(count, batch))
        return alerts

    def samples(self) -> Iterator[Sample]:
        """Yield how many floods there were, and how often sources were not at fault."""
        yield FLOODS.name, (self.name,), self.floods_total
        yield EXCUSED.name, (self.name,), self.excused_total

    def _by_source(self, batch: FlowBatch) -> Iterator[Alert]:
        self._follow_listeners(batch)
        open_ones = [one for one in batch.incomplete if not one.was_refused]
        weights = Counter(one.source for one in open_ones if not one.was_answered)
        for source, count in Counter(one.source for one in open_ones if one.was_answered).items():
            if count >= _ANSWERED_PER_HALF_OPEN:
                weights[source] += count // _ANSWERED_PER_HALF_OPEN
        for _, source, count in self.rate.add(list(weights), batch.time_s, weights.values()):
            if self._is_excused(source, batch.time_s):
                self.excused_total += 1
                continue
            own = [one for one in open_ones if one.source == source]
            sample = tuple(dict.fromkeys(show_service(service_key(one)) for one in own))[:SAMPLE_SIZE]
            what = "half-open connections"
            ours = our_party(own[-1])
            yield origin_alert(self.name, self.limits, source, batch.time_s, count, what, sample=sample, ours=ours)

    def _follow_listeners(self, batch: FlowBatch) -> None:
        """Note when listeners of this node dropped or delayed attempts."""
        now_s, totals, before = batch.time_s, batch.listen_totals, self._listen_totals
        if totals is not None:
            self._listen_totals = totals
            if before is not None and totals.overflows != before.overflows:
                self._overflowing_s = now_s
            if before is not None and (totals.drops, totals.cookies) != (before.drops, before.cookies):
                self._dropping_s = now_s

    def _is_excused(self, source: Address, now_s: float) -> bool:
        """Whether this node may be what left the attempts of a source open."""
        back_s = self.limits.findtime_s + _LOOK_BACK_S
        if 0 <= now_s - self._overflowing_s <= back_s:
            return True
        return 0 <= now_s - self._dropping_s <= back_s and self.surrounding.clients.handshakes(source) > 0

    def _look(self, batch: FlowBatch) -> int:
        """Return how many attempts of two seconds are incomplete; 0 while most are complete."""
        looks, young = self._looks, self._young
        # A protocol without handshakes is not what is flooded, however much of it there is.
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
        busiest = Counter(map(_target, seen)).most_common(1)
        ours = busiest[0][0] if busiest else UNKNOWN_PARTY
        address = format_address(ours.address) if ours.address else "an unknown address"
        sources = len({flow.source for flow in seen})
        what = f"half-open connections ({sources} sources in the last {len(seen)} flows)"
        evidence = Evidence(count, self.total, _LOOK_BACK_S, batch.time_s - _LOOK_BACK_S, batch.time_s, what)
        return FloodAlert(self.name, batch.time_s, f"{ours.service or 'unknown'} of {address}", evidence, ours)


def _target(flow: Flow) -> Party:
    return Party(flow.destination, show_service(service_key(flow)))


DETECTOR = Registration(
    detector=HalfOpenDetector,
    settings=HalfOpenSettings,
    summary="Connections are opened and never completed: a SYN flood.",
    make=lambda section, context: HalfOpenDetector(section.limits(context.ipv6_prefix), section.total),
    order=20,
)
