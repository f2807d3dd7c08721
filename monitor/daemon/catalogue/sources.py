"""What the sources read, and what they know to have lost."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_source_up", GAUGE, "1 while the source is open.", ("source",)),
    Metric(
        "nodewarden_source_wanted",
        GAUGE,
        "1 where the configuration, or a detector's filter, has something to read it for.",
        ("source",),
    ),
    Metric("nodewarden_source_records_total", COUNTER, "Records read.", ("source",)),
    Metric(
        "nodewarden_source_lost_records_total",
        COUNTER,
        "Records known to be lost before they were read: evidence that no detector saw. Of logs: gaps of unknown size.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_overruns_total", COUNTER, "Times the reader fell behind the kernel's buffer.", ("source",)
    ),
    Metric(
        "nodewarden_source_malformed_records_total",
        COUNTER,
        "Records that could not be understood, by cause; they were skipped.",
        ("source", "cause"),
    ),
    Metric(
        "nodewarden_source_foreign_records_total",
        COUNTER,
        "Records that user space wrote to the kernel log; never evidence.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_excluded_records_total",
        COUNTER,
        "Packet lines whose log prefix the configuration does not count.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_suppressed_records_total",
        COUNTER,
        "Entries that journald's own rate limit refused, of any service: evidence that no detector saw.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_untrusted_records_total",
        COUNTER,
        "Records that others than the system can have written: what they say proves nothing.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_cut_lines_total",
        COUNTER,
        "Lines longer than `max_line_bytes`; they were cut there.",
        ("source",),
    ),
    Metric("nodewarden_source_read_bytes_total", COUNTER, "Bytes of whole lines read.", ("source",)),
    Metric(
        "nodewarden_source_lost_bytes_total",
        COUNTER,
        "Bytes of log files given up: ends without a newline, too many unread generations.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_truncations_total",
        COUNTER,
        "Log files emptied in place; what was unread then is lost unless a copy was made.",
        ("source",),
    ),
    Metric("nodewarden_source_files", GAUGE, "Log files that are being followed.", ("source",)),
    Metric("nodewarden_source_unreadable_files", GAUGE, "Log files that are there but cannot be read.", ("source",)),
    Metric(
        "nodewarden_source_skipped_records_total",
        COUNTER,
        "Records understood and not wanted: updates of connections that tell of neither handshake nor reset.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_resyncs_total",
        COUNTER,
        "Times that the connection table was listed after events were lost.",
        ("source",),
    ),
    Metric("nodewarden_source_lag_seconds", GAUGE, "Age of the last event when it was read.", ("source",)),
)
