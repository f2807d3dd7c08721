"""What only the kernel log counts."""

from monitor.metrics.metric import COUNTER, Metric

_LABELS = ("source",)

COUNTERS = {
    "overruns": Metric(
        "nodewarden_source_overruns_total", COUNTER, "Times that the reader fell behind the kernel's buffer.", _LABELS
    ),
    "foreign": Metric(
        "nodewarden_source_foreign_records_total",
        COUNTER,
        "Records that user space wrote to the kernel log; they never count as evidence.",
        _LABELS,
    ),
    "excluded": Metric(
        "nodewarden_source_excluded_records_total",
        COUNTER,
        "Packet lines that the configured log prefixes exclude.",
        _LABELS,
    ),
}
METRICS = tuple(COUNTERS.values())
