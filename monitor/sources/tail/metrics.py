"""What only log files count."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

_LABELS = ("source",)

COUNTERS = {
    "bytes": Metric("nodewarden_source_read_bytes_total", COUNTER, "Bytes of the whole lines that were read.", _LABELS),
    "lost_bytes": Metric(
        "nodewarden_source_lost_bytes_total",
        COUNTER,
        "Bytes of log files that were given up: ends without a newline, too many unread generations.",
        _LABELS,
    ),
    "truncations": Metric(
        "nodewarden_source_truncations_total",
        COUNTER,
        "Log files truncated in place; unread lines are lost unless a copy was made.",
        _LABELS,
    ),
    "unfollowed_files": Metric(
        "nodewarden_source_unfollowed_files",
        GAUGE,
        "Log files that are not followed because too many match; each pattern and owner has a share.",
        _LABELS,
    ),
    "files": Metric("nodewarden_source_files", GAUGE, "Log files being followed.", _LABELS),
}
METRICS = tuple(COUNTERS.values())
