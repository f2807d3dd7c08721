"""Flows: ordinary traffic, and what handshakes prove of its sources."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_flows_total",
        COUNTER,
        "Flows opened and closed, as connection tracking reports them: of this node, through it, or within it.",
        ("event", "protocol", "direction"),
    ),
    Metric(
        "nodewarden_flow_packets_total",
        COUNTER,
        "Packets of flows that ended or are long, in both directions; 0 without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_flow_bytes_total",
        COUNTER,
        "Bytes of flows that ended, and of long ones (1 MiB) while they run, in both directions, with IP headers; 0 "
        "without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_evidence_set_aside_total",
        COUNTER,
        "Events and alerts that did not count against their source, by reason: attempts at known services "
        "(known_service) or from this side of the node (outbound), logged packets that were accepted (accepted) or "
        "could not be checked (unchecked), alerts about internal hosts (internal), and about clients whose address "
        "anyone can have used (contested).",
        ("reason",),
    ),
    Metric("nodewarden_services_known", GAUGE, "Services that are known on this node and behind it."),
    Metric("nodewarden_clients_refused_total", COUNTER, "Clients not remembered, because there were too many."),
    Metric(
        "nodewarden_proofs_needed_handshakes",
        GAUGE,
        "Number of complete handshakes that prove a source; it rises while packets arrive that could be guesses.",
    ),
    Metric("nodewarden_proofs_entries", GAUGE, "Sources, and pairs of source and service, with known handshakes."),
    Metric("nodewarden_proofs_evicted_total", COUNTER, "Entries forgotten early, so that less is proven."),
)
