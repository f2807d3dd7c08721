"""Names of detectors that are there without being configured: in configuration, bans, metrics and history."""

PACKET_DETECTORS = ("port_scan", "host_sweep")
FLOW_DETECTORS = (
    "half_open",
    "connection_rate",
    "open_connections",
    "protected_port",
    "egress",
    "udp_amplification",
)
DROP_DETECTORS = ("drop_rate",)
SENDER_DETECTORS = ("syn_rate", "udp_rate")
RESERVED = (*PACKET_DETECTORS, *FLOW_DETECTORS, *DROP_DETECTORS, *SENDER_DETECTORS, "recidive", "prefix", "manual")
"""What no detector of failures may be called; the last three stand for bans that no detector's alert began."""
