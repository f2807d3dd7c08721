"""What only the journal counts."""

from monitor.metrics.metric import COUNTER, Metric

COUNTERS = {
    "suppressed": Metric(
        "nodewarden_source_suppressed_records_total",
        COUNTER,
        "Entries that journald's rate limit refused, of any service, so that no detector saw them.",
        ("source",),
    ),
}
METRICS = tuple(COUNTERS.values())
