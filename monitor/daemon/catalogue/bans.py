"""Decisions, bans, and the kernel's table."""

from monitor.metrics.metric import COUNTER, GAUGE, HISTOGRAM, Metric

BAN_LATENCY = Metric(
    "nodewarden_ban_latency_seconds",
    HISTOGRAM,
    "Time from the event that crossed a threshold to the element in the kernel's set.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)

METRICS = (
    Metric(
        "nodewarden_decisions_total",
        COUNTER,
        "Decisions on alerts and on manual orders (detector `manual`), by verdict.",
        ("detector", "verdict"),
    ),
    Metric(
        "nodewarden_bans",
        GAUGE,
        "Bans by the detector whose claim ends last (imports, lists and peers: by these words), in force (mode "
        "`enforce`) or only observed (mode `observe`).",
        ("detector", "mode", "strength"),
    ),
    Metric("nodewarden_bans_limit", GAUGE, "Maximum number of bans in force."),
    Metric(
        "nodewarden_bans_by_class",
        GAUGE,
        "Bans by who holds them, weakest first: when there is no room the weakest class yields.",
        ("class",),
    ),
    Metric(
        "nodewarden_bans_full",
        GAUGE,
        "Whether there is no room for a new ban of this class: it is refused (class `observed`: it displaces the "
        "oldest entry).",
        ("class",),
    ),
    Metric("nodewarden_observed_limit", GAUGE, "Maximum number of observed entries of each strength."),
    Metric(
        "nodewarden_observed_evicted_total",
        COUNTER,
        "Observed entries that newer ones displaced before their end.",
        ("strength",),
    ),
    Metric("nodewarden_bulk_bans", GAUGE, "Bans that only imports, lists and peers claim."),
    Metric(
        "nodewarden_bulk_bans_limit",
        GAUGE,
        "Maximum number of bans of imports, lists and peers; the rest is reserved for detectors and operators.",
    ),
    Metric(
        "nodewarden_listener_errors_total",
        COUNTER,
        "Failed calls of a decision listener; bans are not affected.",
        ("listener",),
    ),
    Metric(
        "nodewarden_bans_ended_total",
        COUNTER,
        "Enforced bans that ended, by cause: expired, lifted by an operator, or allowlisted since.",
        ("cause",),
    ),
    Metric(
        "nodewarden_ban_failures_total",
        COUNTER,
        "Bans that the kernel refused; the log names the reason.",
    ),
    Metric(
        "nodewarden_refused_alerts",
        GAUGE,
        "Alerts whose bans the kernel refused and that are tried again, at most 4096.",
    ),
    Metric(
        "nodewarden_refused_alerts_omitted_total",
        COUNTER,
        "Alerts whose bans the kernel refused and that were given up, because too many waited: spoofable ones first.",
    ),
    BAN_LATENCY,
    Metric("nodewarden_table_up", GAUGE, "1 while the table inet nodewarden is known to be in place."),
    Metric(
        "nodewarden_table_setups_total", COUNTER, "Times the table was set up: at start, and after it had vanished."
    ),
    Metric(
        "nodewarden_set_elements",
        GAUGE,
        "Enforced bans per set; prefixes are counted before overlapping ones are merged. `port_ban` and `port_shun`: "
        "ports of the bans that are limited to ports.",
        ("set",),
    ),
    Metric("nodewarden_set_elements_limit", GAUGE, "Maximum number of elements of a set.", ("set",)),
    Metric("nodewarden_set_dropped_packets_total", COUNTER, "Packets dropped by a set.", ("set",)),
    Metric("nodewarden_set_dropped_bytes_total", COUNTER, "Bytes dropped by a set.", ("set",)),
    Metric(
        "nodewarden_table_drift_total",
        COUNTER,
        "Foreign changes to the table that were detected, by kind. All were reverted but `element_added`.",
        ("kind",),
    ),
    Metric(
        "nodewarden_table_fault",
        GAUGE,
        "1 while the table cannot be set up (`set_up`) or corrected (`bans`), has a former allowlist (`allowlist`), "
        "drops although `bans.action` is `reject` (`refusals`), or foreign changes to it cannot be found "
        "(`comparison`) or are found late (`notifications`).",
        ("part",),
    ),
    Metric(
        "nodewarden_table_compared_age_seconds",
        GAUGE,
        "Time since the part of the table that was compared least recently was compared with what it should be.",
    ),
    Metric(
        "nodewarden_set_foreign_elements",
        GAUGE,
        "Elements of a set that other programs added: no bans of nodewarden.",
        ("set",),
    ),
    Metric(
        "nodewarden_leaked_packets_total",
        COUNTER,
        "Packets from banned sources that got past the table, by the hook that saw them: a ban has no effect.",
        ("hook",),
    ),
    Metric("nodewarden_connections_cut_total", COUNTER, "Conntrack entries deleted because their peer was banned."),
    Metric(
        "nodewarden_budget_bans_per_minute",
        GAUGE,
        "Configured maximum of new bans per minute for each strength of evidence.",
    ),
    Metric(
        "nodewarden_budget_refused_total",
        COUNTER,
        "Bans that were only observed because the budget of their strength was exhausted.",
        ("strength",),
    ),
    Metric(
        "nodewarden_connections_cut_incomplete_total",
        COUNTER,
        "Times that not all connections of a banned source were cut; its packets are dropped anyway. The log names the "
        "reason.",
    ),
    Metric(
        "nodewarden_harm_signs_total",
        COUNTER,
        "Signs that bans hurt whom they should not: sources banned on proof (`client_banned`) or shunned "
        "(`client_shunned`) that were clients for ten minutes before; alerts about `allowlisted` sources; bans of "
        "detectors lifted by hand within ten minutes (`lifted_early`) or taken back for lack of evidence "
        "(`withdrawn`).",
        ("sign",),
    ),
    Metric("nodewarden_internal_bans", GAUGE, "Bans in force of sources in internal networks, at most 1024."),
    Metric(
        "nodewarden_internal_dropped_packets_total",
        COUNTER,
        "Packets dropped by bans of sources in internal networks; each of these bans is read about once a minute.",
    ),
    Metric("nodewarden_allowlist_networks", GAUGE, "Networks on the allowlist."),
    Metric("nodewarden_allowlist_limit", GAUGE, "Maximum number of networks on the allowlist, adjacent ones merged."),
    Metric(
        "nodewarden_allowlist_share",
        GAUGE,
        "Share of the Internet's addresses that are on the allowlist; above 0.05 it is a problem in `status`.",
        ("family",),
    ),
    Metric(
        "nodewarden_allowlist_unresolved_names",
        GAUGE,
        "Names of servers of the cluster that cannot be resolved: they are not protected, or by their last addresses.",
    ),
    Metric(
        "nodewarden_allowlist_omitted",
        GAUGE,
        "Networks that should be on the allowlist and are left out because it is full, by where they come from.",
        ("provider",),
    ),
)
