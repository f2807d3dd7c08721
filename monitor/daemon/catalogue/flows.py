"""Connection tracking: ordinary traffic, handshakes, the connection table."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_flows_total",
        COUNTER,
        "Flows that opened, and that closed, as connection tracking told: of this node, through it, or within it.",
        ("event", "protocol", "direction"),
    ),
    Metric(
        "nodewarden_flow_packets_total",
        COUNTER,
        "Packets of flows that closed, both ways; 0 without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_flow_bytes_total",
        COUNTER,
        "Bytes of flows that closed, both ways, with IP headers; 0 without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_proofs_needed_handshakes",
        GAUGE,
        "How many complete handshakes prove who somebody is; rises while packets come that could be guesses.",
    ),
    Metric("nodewarden_proofs_entries", GAUGE, "Origins, and origins with a service, whose handshakes are known."),
    Metric("nodewarden_proofs_evicted_total", COUNTER, "Such that were forgotten before their time: less is proven."),
    Metric("nodewarden_conntrack_entries", GAUGE, "Entries of the connection table."),
    Metric("nodewarden_conntrack_entries_limit", GAUGE, "Entries it can hold; beyond them new connections drop."),
    Metric(
        "nodewarden_conntrack_table_total",
        COUNTER,
        "What happened to the connection table since the start of the machine, in the kernel's words.",
        ("event",),
    ),
    Metric("nodewarden_handshakes_completed_total", COUNTER, "Attempts to connect that completed their handshake."),
    Metric("nodewarden_handshakes_incomplete_total", COUNTER, "Attempts to connect that came to nothing."),
    Metric(
        "nodewarden_handshakes_evicted_total",
        COUNTER,
        "Attempts forgotten before their time: too many at once, or events were lost beside them.",
    ),
    Metric("nodewarden_handshakes_pending", GAUGE, "Attempts to connect whose time is not up."),
)
