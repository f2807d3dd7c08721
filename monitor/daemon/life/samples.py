"""The pipeline's state as samples of the catalogue's metrics."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from monitor import __version__, native
from monitor.bans.decision import Verdict
from monitor.daemon.life import capacity
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.detectors.detector import Detector
from monitor.enforcers.nftables.faults import FAULTS
from monitor.enforcers.protocol import Leader
from monitor.metrics.metric import Sample
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, NOT_DETECTORS, Mode
from monitor.state.saver import Saver


def pipeline_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield what detectors, bans and the table counted."""
    yield "nodewarden_build_info", (__version__,), 1
    yield "nodewarden_native_enabled", (), float(native.extension is not None)
    for kind, count in pipeline.events_by_kind.items():
        yield "nodewarden_events_total", (kind,), count
    for detector in pipeline.detectors:
        yield from _threshold_samples(pipeline, detector)
        for mode, strength in product(Mode, detector.strengths):
            crossed = (detector.name, mode, strength)
            yield "nodewarden_detector_alerts_total", crossed, pipeline.metrics.alerts[crossed]
        yield from _own_samples(pipeline.counting_as(detector))
    yield from pipeline.floods.samples(pipeline.detectors, pipeline.now_s)
    yield from pipeline.shadows.samples()
    yield from pipeline.traffic.samples()
    yield from pipeline.evidence.samples()
    yield "nodewarden_proofs_needed_handshakes", (), pipeline.proofs.needed
    yield "nodewarden_proofs_entries", (), len(pipeline.proofs)
    yield "nodewarden_proofs_evicted_total", (), pipeline.proofs.evicted_total
    for name in (*pipeline.policy.rules.detectors, *NOT_DETECTORS):
        for verdict in Verdict:
            yield "nodewarden_decisions_total", (name, verdict), pipeline.metrics.decisions[name, verdict]
    yield from _ban_samples(pipeline)
    for name, errors in pipeline.listeners.errors.items():
        yield "nodewarden_listener_errors_total", (name,), errors
    for cause, count in pipeline.metrics.ended_bans.items():
        yield "nodewarden_bans_ended_total", (cause,), count
    yield from capacity.samples(pipeline.policy)
    yield "nodewarden_ban_failures_total", (), pipeline.metrics.refused
    yield "nodewarden_refused_alerts", (), len(pipeline.refused)
    yield "nodewarden_refused_alerts_omitted_total", (), pipeline.refused.omitted_total
    yield from _table_samples(pipeline.table)


def _ban_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield how many bans each detector holds: what it may hold now, and what there is from before."""
    counts = dict.fromkeys(product((MANUAL,), Mode, Strength), 0)
    for detector in pipeline.detectors:
        mode = pipeline.policy.rules.detectors[detector.name].mode
        counts |= dict.fromkeys(product((detector.name,), (mode,), detector.strengths), 0)
    for (name, mode, strength), count in {**counts, **pipeline.ledger.by_detector()}.items():
        yield "nodewarden_bans", (name, mode, strength), count


def _threshold_samples(pipeline: Pipeline, detector: Detector[Any]) -> Iterator[Sample]:
    """Yield when a detector fires, and how close it is to that."""
    label = (detector.name,)
    limits, policy = detector.limits, pipeline.policy.rules.detectors[detector.name]
    counting = pipeline.counting_as(detector)
    stats = [one.stats for one in counting]
    busiest = max(one.stats.busiest / one.limits.maxretry for one in counting)
    yield "nodewarden_detector_maxretry", label, limits.maxretry
    yield "nodewarden_detector_findtime_seconds", label, limits.findtime_s
    yield "nodewarden_detector_bantime_seconds", label, policy.bantime_s
    for mode in Mode:
        yield "nodewarden_detector_mode", (detector.name, mode), float(mode is policy.mode)
    yield "nodewarden_detector_busiest_ratio", label, min(1.0, busiest)
    yield "nodewarden_detector_window_entries", label, sum(one.entries for one in stats)
    yield "nodewarden_detector_window_entries_limit", label, sum(one.limits.max_entries for one in counting)
    yield "nodewarden_detector_evicted_keys_total", label, sum(one.evicted_keys for one in stats)
    yield "nodewarden_detector_missed_keys_total", label, sum(one.missed_keys for one in stats)


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


def saver_samples(saver: Saver) -> Iterator[Sample]:
    """Yield how saving goes."""
    yield "nodewarden_state_saving", (), float(saver.is_saving_ok)
    yield "nodewarden_state_pending_changes", (), saver.pending
    yield "nodewarden_state_written_rows_total", (), saver.written_total
    yield "nodewarden_state_failures_total", (), saver.failures_total
    yield "nodewarden_state_dropped_offences_total", (), saver.dropped_offences_total
    yield "nodewarden_state_dropped_removals_total", (), saver.dropped_removals_total
    yield "nodewarden_history_entries", (), saver.store.history_rows if saver.store else 0
    yield "nodewarden_state_copy_failures_total", (), saver.copier.failures_total
