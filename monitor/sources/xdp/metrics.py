"""What only the XDP program counts."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_xdp_attached",
        GAUGE,
        "1 for the mode in which the program is attached to an interface.",
        ("interface", "mode"),
    ),
    Metric("nodewarden_xdp_dropped_packets_total", COUNTER, "Packets that XDP dropped, by set.", ("set",)),
    Metric("nodewarden_xdp_dropped_bytes_total", COUNTER, "Bytes that XDP dropped, by set.", ("set",)),
    Metric(
        "nodewarden_xdp_missing_bans_total",
        COUNTER,
        "Bans that did not fit into the maps of XDP: nftables alone enforces them.",
    ),
)
