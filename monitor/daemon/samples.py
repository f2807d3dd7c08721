"""The pipeline's state as samples of the catalogue's metrics."""

from collections.abc import Iterator
from typing import Any

from monitor import __version__
from monitor.bans.policy import PREFIX, RECIDIVE, Verdict
from monitor.daemon.pipeline import Pipeline
from monitor.daemon.saver import Saver
from monitor.daemon.table import Table
from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.egress import Egress
from monitor.detectors.udp_amplification import UdpAmplification
from monitor.metrics.exporter import Sample
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, Mode

_SOURCE_METRICS = {
    "records": "nodewarden_source_records_total",
    "lost": "nodewarden_source_lost_records_total",
    "overruns": "nodewarden_source_overruns_total",
    "suppressed": "nodewarden_source_suppressed_records_total",
    "foreign": "nodewarden_source_foreign_records_total",
    "excluded": "nodewarden_source_excluded_records_total",
    "untrusted": "nodewarden_source_untrusted_records_total",
    "cut_lines": "nodewarden_source_cut_lines_total",
    "bytes": "nodewarden_source_read_bytes_total",
    "lost_bytes": "nodewarden_source_lost_bytes_total",
    "truncations": "nodewarden_source_truncations_total",
    "files": "nodewarden_source_files",
    "unreadable_files": "nodewarden_source_unreadable_files",
    "skipped": "nodewarden_source_skipped_records_total",
    "resyncs": "nodewarden_source_resyncs_total",
    "lag_s": "nodewarden_source_lag_seconds",
}
"""By the name that sources' counters have."""


def source_samples(name: str, stats: Any, *, is_up: bool) -> Iterator[Sample]:
    """Yield what a source counted; none counts everything."""
    yield "nodewarden_source_up", (name,), float(is_up)
    for counter, metric in _SOURCE_METRICS.items():
        if (value := getattr(stats, counter, None)) is not None:
            yield metric, (name,), value
    causes = stats.malformed if isinstance(stats.malformed, dict) else {"unreadable": stats.malformed}
    for cause, count in causes.items():
        yield "nodewarden_source_malformed_records_total", (name, cause), count


def pipeline_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield what detectors, bans and the table counted."""
    yield "nodewarden_build_info", (__version__,), 1
    for kind, count in pipeline.events_by_kind.items():
        yield "nodewarden_events_total", (kind,), count
    for detector in pipeline.detectors:
        label = (detector.name,)
        yield "nodewarden_detector_maxretry", label, detector.thresholds.maxretry
        yield "nodewarden_detector_window_entries", label, detector.stats.entries
        yield "nodewarden_detector_window_entries_limit", label, detector.thresholds.max_entries
        yield "nodewarden_detector_evicted_keys_total", label, detector.stats.evicted_keys
        for mode in Mode:
            yield "nodewarden_detector_alerts_total", (detector.name, mode), pipeline.alerts[detector.name, mode]
    yield from pipeline.traffic.samples()
    yield "nodewarden_proofs_needed_handshakes", (), pipeline.proofs.needed
    yield "nodewarden_proofs_entries", (), len(pipeline.proofs)
    yield "nodewarden_proofs_evicted_total", (), pipeline.proofs.evicted_total
    yield from _detector_samples(pipeline)
    for name in (*pipeline.policy.rules.detectors, RECIDIVE, PREFIX, MANUAL):
        for verdict in Verdict:
            yield "nodewarden_decisions_total", (name, verdict), pipeline.decisions[name, verdict]
    for mode in Mode:
        for strength in Strength:
            yield "nodewarden_bans", (mode, strength), pipeline.ledger.count(mode, strength)
    yield "nodewarden_bans_limit", (), pipeline.ledger.max_bans
    yield "nodewarden_ban_failures_total", (), pipeline.ban_failures
    yield from _table_samples(pipeline.table)
    budget = pipeline.policy.budget
    yield "nodewarden_budget_bans_per_minute", (), budget.bans_per_minute
    yield "nodewarden_budget_refused_total", (), budget.refused_total
    yield "nodewarden_allowlist_networks", (), len(pipeline.guard.entries)


def _detector_samples(pipeline: Pipeline) -> Iterator[Sample]:
    """Yield what some detectors count beside alerts."""
    for detector in pipeline.detectors:
        if isinstance(detector, Egress):
            for is_approved, count in detector.flows.items():
                yield "nodewarden_egress_flows_total", ("yes" if is_approved else "no",), count
        elif isinstance(detector, UdpAmplification):
            yield "nodewarden_uncounted_flows_total", (), detector.uncounted_total
        elif isinstance(detector, DistinctDetector):
            yield "nodewarden_detector_agreements_total", (detector.name,), detector.agreements_total


def _table_samples(table: Table) -> Iterator[Sample]:
    for name, counter in table.counters().items():
        yield "nodewarden_set_dropped_packets_total", (name,), counter.packets
        yield "nodewarden_set_dropped_bytes_total", (name,), counter.bytes
    yield "nodewarden_table_up", (), float(table.is_up)
    yield "nodewarden_table_setups_total", (), table.setups
    for kind, count in table.drifts.items():
        yield "nodewarden_table_drift_total", (kind,), count
    for hook, counter in table.leaks().items():
        yield "nodewarden_leaked_packets_total", (hook,), counter.packets


def saver_samples(saver: Saver) -> Iterator[Sample]:
    """Yield how saving goes."""
    yield "nodewarden_state_saving", (), float(saver.is_saving_ok)
    yield "nodewarden_state_pending_changes", (), saver.pending
    yield "nodewarden_state_written_rows_total", (), saver.written_total
    yield "nodewarden_state_failures_total", (), saver.failures_total
    yield "nodewarden_state_dropped_offences_total", (), saver.dropped_offences_total
