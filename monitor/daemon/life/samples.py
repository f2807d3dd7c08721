"""The pipeline's state as samples of the catalogue's metrics."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Protocol

from monitor import __version__, native
from monitor.bans.decision import Verdict
from monitor.daemon.life import capacity
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.detectors.detector import Detector
from monitor.enforcers.nftables.faults import FAULTS
from monitor.enforcers.protocol import Leader
from monitor.metrics.metric import KeptSamples, Sample
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, NOT_DETECTORS, Mode
from monitor.state.saver import Saver


class Sampled(Protocol):
    """A part that has metrics."""

    def samples(self) -> Iterable[Sample]:
        """Return its samples."""
        ...


class PipelineSamples:
    """What detectors, bans and the table counted. What only changes with settings or decisions is kept."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Keep nothing yet."""
        self._pipeline = pipeline
        self._thresholds, self._alerts, self._decisions, self._bans = (KeptSamples() for _ in range(4))
        self._room = capacity.RoomSamples(pipeline.policy)

    def samples(self) -> list[Sample]:
        """Return all of them."""
        pipeline, metrics = self._pipeline, self._pipeline.metrics
        policy, ledger, evidence = pipeline.policy, pipeline.ledger, pipeline.evidence
        setup = pipeline.detectors, pipeline.routes, policy.rules
        decided = metrics.changes, *setup
        found: list[Sample] = [
            ("nodewarden_build_info", (__version__,), 1),
            ("nodewarden_native_enabled", (), float(native.extension is not None)),
            ("nodewarden_proofs_needed_handshakes", (), pipeline.proofs.needed),
            ("nodewarden_proofs_entries", (), len(pipeline.proofs)),
            ("nodewarden_proofs_evicted_total", (), pipeline.proofs.evicted_total),
            ("nodewarden_refused_alerts", (), len(pipeline.refused)),
            ("nodewarden_refused_alerts_omitted_total", (), pipeline.refused.omitted_total),
        ]
        found += [("nodewarden_events_total", (kind,), count) for kind, count in pipeline.events_by_kind.items()]
        found += self._thresholds.of(setup, lambda: _threshold_samples(pipeline))
        found += self._alerts.of(decided, lambda: _alert_samples(pipeline))
        for detector in pipeline.detectors:
            found += _window_samples(pipeline, detector)
        found += pipeline.floods.samples(pipeline.detectors, pipeline.now_s)
        found += pipeline.shadows.samples()
        found += pipeline.traffic.samples()
        found += evidence.samples()
        found += self._decisions.of(decided, lambda: _decision_samples(pipeline))
        found += self._bans.of((ledger.changes, *setup), lambda: _ban_samples(pipeline))
        found += [("nodewarden_listener_errors_total", (name,), n) for name, n in pipeline.listeners.errors.items()]
        found += self._room.samples()
        found += _table_samples(pipeline.table)
        return found


def _alert_samples(pipeline: Pipeline) -> Iterator[Sample]:
    for detector in pipeline.detectors:
        for mode, strength in product(Mode, detector.strengths):
            crossed = (detector.name, mode, strength)
            yield "nodewarden_detector_alerts_total", crossed, pipeline.metrics.alerts[crossed]


def _decision_samples(pipeline: Pipeline) -> Iterator[Sample]:
    metrics = pipeline.metrics
    for name in (*pipeline.policy.rules.detectors, *NOT_DETECTORS):
        for verdict in Verdict:
            yield "nodewarden_decisions_total", (name, verdict), metrics.decisions[name, verdict]
    for cause, count in metrics.ended_bans.items():
        yield "nodewarden_bans_ended_total", (cause,), count
    yield "nodewarden_ban_failures_total", (), metrics.refused


def _ban_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield how many bans each detector holds: what it may hold now, and what there is from before."""
    counts = dict.fromkeys(product((MANUAL,), Mode, Strength), 0)
    for detector in pipeline.detectors:
        mode = pipeline.policy.rules.detectors[detector.name].mode
        counts |= dict.fromkeys(product((detector.name,), (mode,), detector.strengths), 0)
    for (name, mode, strength), count in {**counts, **pipeline.ledger.by_detector()}.items():
        yield "nodewarden_bans", (name, mode, strength), count


def _threshold_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield when each detector fires."""
    for detector in pipeline.detectors:
        label = (detector.name,)
        limits, policy = detector.limits, pipeline.policy.rules.detectors[detector.name]
        most = sum(one.limits.max_entries for one in pipeline.counting_as(detector))
        yield "nodewarden_detector_maxretry", label, limits.maxretry
        yield "nodewarden_detector_findtime_seconds", label, limits.findtime_s
        yield "nodewarden_detector_bantime_seconds", label, policy.bantime_s
        for mode in Mode:
            yield "nodewarden_detector_mode", (detector.name, mode), float(mode is policy.mode)
        yield "nodewarden_detector_window_entries_limit", label, most


def _window_samples(pipeline: Pipeline, detector: Detector[Any]) -> list[Sample]:
    """Return how close a detector is to its threshold, what it remembers and forgot, and what only it counts."""
    label = (detector.name,)
    busiest, entries, evicted, missed = 0.0, 0, 0, 0
    counting = pipeline.counting_as(detector)
    for one in counting:
        stats = one.stats
        busiest = max(busiest, stats.busiest / one.limits.maxretry)
        entries += stats.entries
        evicted += stats.evicted_keys
        missed += stats.missed_keys
    return [
        ("nodewarden_detector_busiest_ratio", label, min(1.0, busiest)),
        ("nodewarden_detector_window_entries", label, entries),
        ("nodewarden_detector_evicted_keys_total", label, evicted),
        ("nodewarden_detector_missed_keys_total", label, missed),
        *(_own_samples(counting) if detector.metrics else ()),
    ]


def _own_samples(counting: Sequence[Detector[Any]]) -> Iterator[Sample]:
    """Yield the samples that only this detector has, summed up where single networks are counted apart."""
    totals: dict[tuple[str, tuple[str, ...]], float] = {}
    for detector in counting:
        for name, labels, value in detector.samples():
            totals[name, labels] = totals.get((name, labels), 0) + value
    for (name, labels), value in totals.items():
        yield name, labels, value


def _table_samples(table: Leader) -> Iterator[Sample]:
    for name, counter in table.counters().items():
        yield "nodewarden_set_dropped_packets_total", (name,), counter.packets
        yield "nodewarden_set_dropped_bytes_total", (name,), counter.bytes
    yield "nodewarden_table_up", (), float(table.is_up)
    yield "nodewarden_table_setups_total", (), table.generation
    for kind, count in table.drifts.items():
        yield "nodewarden_table_drift_total", (kind,), count
    for part in FAULTS:
        yield "nodewarden_table_fault", (part,), float(part in table.faults)
    for name, count in table.foreign.counts().items():
        yield "nodewarden_set_foreign_elements", (name,), count
    for hook, counter in table.leaks().items():
        yield "nodewarden_leaked_packets_total", (hook,), counter.packets


class SaverSamples:
    """How saving goes."""

    def __init__(self, saver: Saver) -> None:
        """Take who saves."""
        self._saver = saver

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics."""
        saver = self._saver
        yield "nodewarden_state_saving", (), float(saver.is_saving_ok)
        yield "nodewarden_state_pending_changes", (), saver.pending
        yield "nodewarden_state_written_rows_total", (), saver.written_total
        yield "nodewarden_state_failures_total", (), saver.failures_total
        yield "nodewarden_state_dropped_offences_total", (), saver.dropped_offences_total
        yield "nodewarden_state_dropped_removals_total", (), saver.dropped_removals_total
        yield "nodewarden_history_entries", (), saver.store.history_rows if saver.store else 0
        yield "nodewarden_state_copy_failures_total", (), saver.copier.failures_total
