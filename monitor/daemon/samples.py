"""The pipeline's state as samples of the catalogue's metrics."""

from collections.abc import Iterator

from monitor import __version__
from monitor.bans.policy import PREFIX, RECIDIVE, Verdict
from monitor.daemon.pipeline import Pipeline
from monitor.daemon.saver import Saver
from monitor.metrics.exporter import Sample
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, Mode
from monitor.sources.kmsg import KernelLogStats


def source_samples(name: str, stats: KernelLogStats, *, is_up: bool) -> Iterator[Sample]:
    """Yield what a source counted."""
    yield "nodewarden_source_up", (name,), float(is_up)
    yield "nodewarden_source_records_total", (name,), stats.records
    yield "nodewarden_source_lost_records_total", (name,), stats.lost
    yield "nodewarden_source_overruns_total", (name,), stats.overruns
    yield "nodewarden_source_foreign_records_total", (name,), stats.foreign
    yield "nodewarden_source_excluded_records_total", (name,), stats.excluded
    yield "nodewarden_source_lag_seconds", (name,), stats.lag_s
    for cause, count in stats.malformed.items():
        yield "nodewarden_source_malformed_records_total", (name, cause), count


def pipeline_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield what detectors, bans and the table counted."""
    yield "nodewarden_build_info", (__version__,), 1
    yield "nodewarden_events_total", ("packet_logged",), pipeline.events
    for detector in pipeline.detectors:
        label = (detector.name,)
        yield "nodewarden_detector_maxretry", label, detector.thresholds.maxretry
        yield "nodewarden_detector_window_entries", label, detector.stats.entries
        yield "nodewarden_detector_window_entries_limit", label, detector.thresholds.max_entries
        yield "nodewarden_detector_evicted_keys_total", label, detector.stats.evicted_keys
        for mode in Mode:
            yield "nodewarden_detector_alerts_total", (detector.name, mode), pipeline.alerts[detector.name, mode]
    for name in (*pipeline.policy.rules.detectors, RECIDIVE, PREFIX, MANUAL):
        for verdict in Verdict:
            yield "nodewarden_decisions_total", (name, verdict), pipeline.decisions[name, verdict]
    for mode in Mode:
        for strength in Strength:
            yield "nodewarden_bans", (mode, strength), pipeline.ledger.count(mode, strength)
    yield "nodewarden_bans_limit", (), pipeline.ledger.max_bans
    yield "nodewarden_ban_failures_total", (), pipeline.ban_failures
    for name, counter in pipeline.table.counters().items():
        yield "nodewarden_set_dropped_packets_total", (name,), counter.packets
        yield "nodewarden_set_dropped_bytes_total", (name,), counter.bytes
    yield "nodewarden_table_up", (), float(pipeline.table.is_up)
    yield "nodewarden_table_setups_total", (), pipeline.table.setups
    for kind, count in pipeline.table.drifts.items():
        yield "nodewarden_table_drift_total", (kind,), count
    for hook, counter in pipeline.table.leaks().items():
        yield "nodewarden_leaked_packets_total", (hook,), counter.packets
    budget = pipeline.policy.budget
    yield "nodewarden_budget_bans_per_minute", (), budget.bans_per_minute
    yield "nodewarden_budget_refused_total", (), budget.refused_total
    yield "nodewarden_allowlist_networks", (), len(pipeline.guard.entries)


def saver_samples(saver: Saver) -> Iterator[Sample]:
    """Yield how saving goes."""
    yield "nodewarden_state_saving", (), float(saver.is_saving_ok)
    yield "nodewarden_state_pending_changes", (), saver.pending
    yield "nodewarden_state_written_rows_total", (), saver.written_total
    yield "nodewarden_state_failures_total", (), saver.failures_total
    yield "nodewarden_state_dropped_offences_total", (), saver.dropped_offences_total
