"""Sources: what they read, and what is known to be lost."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

_LABELS = ("source",)

UP = Metric("nodewarden_source_up", GAUGE, "1 while the source is open.", _LABELS)
WANTED = Metric("nodewarden_source_wanted", GAUGE, "1 if the configuration or a filter uses the source.", _LABELS)
MALFORMED = Metric(
    "nodewarden_source_malformed_records_total",
    COUNTER,
    "Records that could not be decoded, by cause; they were skipped.",
    ("source", "cause"),
)
LAG = Metric("nodewarden_source_lag_seconds", GAUGE, "Age of the last event when it was read.", _LABELS)

COUNTERS = {
    "records": Metric("nodewarden_source_records_total", COUNTER, "Records read.", _LABELS),
    "lost": Metric(
        "nodewarden_source_lost_records_total",
        COUNTER,
        "Records lost before they could be read, so that no detector saw them. For logs: gaps of unknown size.",
        _LABELS,
    ),
}
"""What every source counts, by the name of the counter in its statistics."""

LOG_COUNTERS = {
    "untrusted": Metric(
        "nodewarden_source_untrusted_records_total",
        COUNTER,
        "Records that accounts other than the system's could have written: they prove nothing.",
        _LABELS,
    ),
    "cut_lines": Metric(
        "nodewarden_source_cut_lines_total", COUNTER, "Lines cut because they exceed `max_line_bytes`.", _LABELS
    ),
    "unreadable_files": Metric(
        "nodewarden_source_unreadable_files", GAUGE, "Log files that exist but cannot be read.", _LABELS
    ),
}
"""What sources of log text count too."""

METRICS = (UP, WANTED, *COUNTERS.values(), MALFORMED, LAG, *LOG_COUNTERS.values())
