"""The fleet (`fleet.url`): its server, what is published and taken over, and which nodes differ. Absent without one."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_fleet_up", GAUGE, "1 while the fleet's server answers; 0 while it does not."),
    Metric(
        "nodewarden_fleet_clock_offset_seconds",
        GAUGE,
        "How far the clock of the fleet's server is ahead of this node's; times of shared bans are converted by it.",
    ),
    Metric("nodewarden_fleet_waiting_changes", GAUGE, "Bans and ends of bans that wait to be published."),
    Metric("nodewarden_fleet_waiting_seconds", GAUGE, "For how long the oldest of them has waited."),
    Metric("nodewarden_fleet_published_total", COUNTER, "Bans of this node that were published."),
    Metric("nodewarden_fleet_withdrawn_total", COUNTER, "Ends of bans and pardons that were published."),
    Metric("nodewarden_fleet_adopted_total", COUNTER, "Bans of peers that were taken over, observed ones included."),
    Metric(
        "nodewarden_fleet_refused_total",
        COUNTER,
        "Records of peers that were not taken over, by cause, such as `malformed`, `version`, `allowlisted`, `budget`, "
        "`pardoned`.",
        ("cause",),
    ),
    Metric(
        "nodewarden_fleet_peers",
        GAUGE,
        "Other nodes of the fleet, by state: `alive`, `silent` (no sign of life for a minute), `observed` (its breaker "
        "tripped, so its bans are only recorded).",
        ("state",),
    ),
    Metric(
        "nodewarden_fleet_peer_bans",
        GAUGE,
        "Bans of a peer that are held here, enforced or observed. The 32 first peers by name; the rest is `other`.",
        ("peer", "mode"),
    ),
    Metric(
        "nodewarden_fleet_lag_seconds",
        GAUGE,
        "Time from the last ban of a peer, as decided there, until it arrived here; of the slowest peer.",
    ),
    Metric(
        "nodewarden_fleet_differing_nodes",
        GAUGE,
        "Nodes that differ from the larger part of the fleet, this one included, by subject: `configuration`, "
        "`allowlist`, `drift` (other programs changed the table), `version`, `audit`.",
        ("subject",),
    ),
    Metric("nodewarden_fleet_pardons", GAUGE, "Pardons in force: networks that no node takes over."),
)
