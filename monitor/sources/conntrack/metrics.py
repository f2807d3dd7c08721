"""What only connection tracking counts: its records, handshakes, the connection table."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

COUNTERS = {
    "skipped": Metric(
        "nodewarden_source_skipped_records_total",
        COUNTER,
        "Records decoded but not used: connection updates that show neither a handshake nor a reset.",
        ("source",),
    ),
    "resyncs": Metric(
        "nodewarden_source_resyncs_total",
        COUNTER,
        "Times that the connection table was listed after events were lost.",
        ("source",),
    ),
}
METRICS = (
    *COUNTERS.values(),
    Metric("nodewarden_conntrack_entries", GAUGE, "Entries in the connection table."),
    Metric(
        "nodewarden_conntrack_entries_limit",
        GAUGE,
        "Maximum number of entries in the connection table; when it is full, new connections are dropped.",
    ),
    Metric(
        "nodewarden_conntrack_table_total",
        COUNTER,
        "Events of the connection table since the machine started, by the kernel's name.",
        ("event",),
    ),
    Metric(
        "nodewarden_conntrack_unreported_connections",
        GAUGE,
        "TCP connections accepted since the last record of connection tracking: many mean that it is blind.",
    ),
    Metric("nodewarden_handshakes_completed_total", COUNTER, "Connection attempts that completed their handshake."),
    Metric("nodewarden_handshakes_incomplete_total", COUNTER, "Connection attempts that failed or stayed incomplete."),
    Metric(
        "nodewarden_handshakes_evicted_total",
        COUNTER,
        "Connection attempts forgotten early: there were too many, or events were lost.",
    ),
    Metric("nodewarden_handshakes_pending", GAUGE, "Connection attempts that may still complete."),
)
