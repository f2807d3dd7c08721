"""The daemon itself: version, state, configuration."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_build_info", GAUGE, "Always 1; the version is in the label.", ("version",)),
    Metric("nodewarden_state_saving", GAUGE, "0 while bans and history cannot be written to disk."),
    Metric("nodewarden_state_pending_changes", GAUGE, "Changes that are not on disk yet."),
    Metric("nodewarden_state_written_rows_total", COUNTER, "Rows written to disk or removed."),
    Metric("nodewarden_state_failures_total", COUNTER, "Attempts to write that failed."),
    Metric(
        "nodewarden_state_dropped_offences_total",
        COUNTER,
        "Offences that were never written, because the disk failed for too long.",
    ),
    Metric(
        "nodewarden_state_dropped_removals_total",
        COUNTER,
        "Ended bans that were never removed from disk, because it failed for too long: a restart may restore them.",
    ),
    Metric("nodewarden_internal_errors_total", COUNTER, "Batches lost to a fault of our own; the log has the trace."),
    Metric("nodewarden_config_reloads_total", COUNTER, "Configuration reloads, by result.", ("result",)),
    Metric("nodewarden_config_last_reload_successful", GAUGE, "0 while the files on disk are faulty."),
)
