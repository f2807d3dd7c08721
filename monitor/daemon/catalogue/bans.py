"""Decisions, bans, and the kernel's table."""

from monitor.metrics.metric import COUNTER, GAUGE, HISTOGRAM, Metric

BAN_LATENCY = Metric(
    "nodewarden_ban_latency_seconds",
    HISTOGRAM,
    "From the event that crossed a threshold to the element in the kernel's set.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)

METRICS = (
    Metric(
        "nodewarden_decisions_total",
        COUNTER,
        "What became of alerts and of orders by hand (detector `manual`).",
        ("detector", "verdict"),
    ),
    Metric("nodewarden_bans", GAUGE, "Bans in force (mode enforce) or only observed.", ("mode", "strength")),
    Metric("nodewarden_bans_limit", GAUGE, "Most bans there can be."),
    Metric("nodewarden_bulk_bans", GAUGE, "Bans that only imports, lists and peers claim."),
    Metric(
        "nodewarden_bulk_bans_limit",
        GAUGE,
        "Most bans that imports, lists and peers may hold; the rest is kept for detectors and operators.",
    ),
    Metric(
        "nodewarden_listener_errors_total",
        COUNTER,
        "Calls of a listener of decisions that failed; bans are not affected.",
        ("listener",),
    ),
    Metric(
        "nodewarden_bans_ended_total",
        COUNTER,
        "Bans in force that ended: by themselves, by order, or because the allowlist forbids them now.",
        ("cause",),
    ),
    Metric(
        "nodewarden_ban_failures_total",
        COUNTER,
        "Bans decided on that the kernel refused; the log says which and why.",
    ),
    BAN_LATENCY,
    Metric("nodewarden_table_up", GAUGE, "1 while the table inet nodewarden is known to be in place."),
    Metric("nodewarden_table_setups_total", COUNTER, "Times the table was set up: at start, and when it had vanished."),
    Metric(
        "nodewarden_set_elements",
        GAUGE,
        "Bans in force that go into a set; of prefixes, as they are before overlapping ones are joined.",
        ("set",),
    ),
    Metric("nodewarden_set_elements_limit", GAUGE, "Most elements a set takes.", ("set",)),
    Metric("nodewarden_set_dropped_packets_total", COUNTER, "Packets stopped by a set.", ("set",)),
    Metric("nodewarden_set_dropped_bytes_total", COUNTER, "Bytes stopped by a set.", ("set",)),
    Metric(
        "nodewarden_table_drift_total",
        COUNTER,
        "Changes of others to the table that were noticed and mended, by kind.",
        ("kind",),
    ),
    Metric(
        "nodewarden_leaked_packets_total",
        COUNTER,
        "Packets of banned sources that passed the table all the same, by the hook that saw them: a ban does not bite.",
        ("hook",),
    ),
    Metric(
        "nodewarden_connections_cut_total", COUNTER, "Conntrack entries deleted because their other end was banned."
    ),
    Metric(
        "nodewarden_connections_cut_incomplete_total",
        COUNTER,
        "Times that connections of banned sources were not all cut; their packets drop anyway. The log says why.",
    ),
    Metric("nodewarden_budget_bans_per_minute", GAUGE, "The most new bans a minute, as configured."),
    Metric("nodewarden_budget_refused_total", COUNTER, "Bans that were only observed because the budget was spent."),
    Metric("nodewarden_allowlist_networks", GAUGE, "Networks that are never banned."),
)
