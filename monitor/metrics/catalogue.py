"""Every metric there is: the exporter and docs/metrics.md are made from this list, nothing else creates one."""

import enum

import msgspec


class Kind(enum.StrEnum):
    """Prometheus metric types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric family; labels are closed sets, never addresses."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_DETECTOR = ("detector",)

BAN_LATENCY = Metric(
    "nodewarden_ban_latency_seconds",
    _HISTOGRAM,
    "From the event that crossed a threshold to the element in the kernel's set.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)

METRICS = (
    Metric("nodewarden_build_info", _GAUGE, "Always 1; the version is in the label.", ("version",)),
    Metric("nodewarden_source_up", _GAUGE, "1 while the source is open.", ("source",)),
    Metric("nodewarden_source_records_total", _COUNTER, "Records read.", ("source",)),
    Metric(
        "nodewarden_source_lost_records_total",
        _COUNTER,
        "Records known to be lost before they were read: evidence that no detector saw. Of logs: gaps of unknown size.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_overruns_total", _COUNTER, "Times the reader fell behind the kernel's buffer.", ("source",)
    ),
    Metric(
        "nodewarden_source_malformed_records_total",
        _COUNTER,
        "Records that could not be understood, by cause; they were skipped.",
        ("source", "cause"),
    ),
    Metric(
        "nodewarden_source_foreign_records_total",
        _COUNTER,
        "Records that user space wrote to the kernel log; never evidence.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_excluded_records_total",
        _COUNTER,
        "Packet lines whose log prefix the configuration does not count.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_suppressed_records_total",
        _COUNTER,
        "Entries that journald's own rate limit refused, of any service: evidence that no detector saw.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_untrusted_records_total",
        _COUNTER,
        "Records that others than the system can have written: what they say proves nothing.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_cut_lines_total",
        _COUNTER,
        "Lines longer than `max_line_bytes`; they were cut there.",
        ("source",),
    ),
    Metric("nodewarden_source_read_bytes_total", _COUNTER, "Bytes of whole lines read.", ("source",)),
    Metric(
        "nodewarden_source_lost_bytes_total",
        _COUNTER,
        "Bytes of log files given up: ends without a newline, too many unread generations.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_truncations_total",
        _COUNTER,
        "Log files emptied in place; what was unread then is lost unless a copy was made.",
        ("source",),
    ),
    Metric("nodewarden_source_files", _GAUGE, "Log files that are being followed.", ("source",)),
    Metric("nodewarden_source_unreadable_files", _GAUGE, "Log files that are there but cannot be read.", ("source",)),
    Metric(
        "nodewarden_source_skipped_records_total",
        _COUNTER,
        "Records understood and not wanted: updates of connections that tell of neither handshake nor reset.",
        ("source",),
    ),
    Metric(
        "nodewarden_source_resyncs_total",
        _COUNTER,
        "Times that the connection table was listed after events were lost.",
        ("source",),
    ),
    Metric(
        "nodewarden_flows_total",
        _COUNTER,
        "Flows that opened, and that closed, as connection tracking told: of this node, through it, or within it.",
        ("event", "protocol", "direction"),
    ),
    Metric(
        "nodewarden_flow_packets_total",
        _COUNTER,
        "Packets of flows that closed, both ways; 0 without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_flow_bytes_total",
        _COUNTER,
        "Bytes of flows that closed, both ways, with IP headers; 0 without net.netfilter.nf_conntrack_acct.",
        ("direction",),
    ),
    Metric(
        "nodewarden_egress_flows_total",
        _COUNTER,
        "Flows out of the node and its pods, by whether their destination is approved.",
        ("approved",),
    ),
    Metric(
        "nodewarden_uncounted_flows_total",
        _COUNTER,
        "Flows to services that amplify, of which the kernel counted no bytes (nf_conntrack_acct is off).",
    ),
    Metric(
        "nodewarden_proofs_needed_handshakes",
        _GAUGE,
        "How many complete handshakes prove who somebody is; rises while packets come that could be guesses.",
    ),
    Metric("nodewarden_proofs_entries", _GAUGE, "Origins, and origins with a service, whose handshakes are known."),
    Metric("nodewarden_proofs_evicted_total", _COUNTER, "Such that were forgotten before their time: less is proven."),
    Metric("nodewarden_conntrack_entries", _GAUGE, "Entries of the connection table."),
    Metric("nodewarden_conntrack_entries_limit", _GAUGE, "Entries it can hold; beyond them new connections drop."),
    Metric(
        "nodewarden_conntrack_table_total",
        _COUNTER,
        "What happened to the connection table since the start of the machine, in the kernel's words.",
        ("event",),
    ),
    Metric("nodewarden_handshakes_completed_total", _COUNTER, "Attempts to connect that completed their handshake."),
    Metric("nodewarden_handshakes_incomplete_total", _COUNTER, "Attempts to connect that came to nothing."),
    Metric(
        "nodewarden_handshakes_evicted_total",
        _COUNTER,
        "Attempts forgotten before their time: too many at once, or events were lost beside them.",
    ),
    Metric("nodewarden_handshakes_pending", _GAUGE, "Attempts to connect whose time is not up."),
    Metric(
        "nodewarden_kernel_dropped_packets_total",
        _COUNTER,
        "Packets that the kernel dropped, by its own name of the reason; `foreign`: in other network namespaces.",
        ("reason", "family", "direction", "tunnelled", "foreign"),
    ),
    Metric(
        "nodewarden_kernel_dropped_bytes_total",
        _COUNTER,
        "Their bytes, as far as the kernel had not taken headers off them.",
        ("reason", "family", "direction", "tunnelled", "foreign"),
    ),
    Metric("nodewarden_ebpf_up", _GAUGE, "1 while the program is attached.", ("program",)),
    Metric(
        "nodewarden_ebpf_rung",
        _GAUGE,
        "1 for how the program runs: `tracing` is best, `raw_tracepoint` dearer, `tracepoint` sees no source, `off`.",
        ("program", "rung"),
    ),
    Metric(
        "nodewarden_ebpf_run_seconds_total",
        _COUNTER,
        "Time the program took, in the one second of each minute in which the kernel keeps count.",
        ("program",),
    ),
    Metric("nodewarden_ebpf_runs_total", _COUNTER, "Runs of the program, in the same seconds.", ("program",)),
    Metric("nodewarden_ebpf_map_entries", _GAUGE, "Entries of a map that sources fill.", ("map",)),
    Metric("nodewarden_ebpf_map_entries_limit", _GAUGE, "Entries it can hold.", ("map",)),
    Metric(
        "nodewarden_ebpf_sketch_load_ratio",
        _GAUGE,
        "How full the sketch was that finds frequent sources: above 1, they must come more often to be noticed.",
        ("program",),
    ),
    Metric(
        "nodewarden_ebpf_lost_sources_total",
        _COUNTER,
        "Packets of sources that could not be counted, because too many others were.",
        ("program",),
    ),
    Metric("nodewarden_xdp_attached", _GAUGE, "1 for how an interface drops in front.", ("interface", "mode")),
    Metric(
        "nodewarden_xdp_dropped_packets_total", _COUNTER, "Packets stopped in front of the stack, by set.", ("set",)
    ),
    Metric("nodewarden_xdp_dropped_bytes_total", _COUNTER, "Bytes stopped in front of the stack, by set.", ("set",)),
    Metric(
        "nodewarden_xdp_missing_bans_total",
        _COUNTER,
        "Bans that did not fit in front of the stack: nftables alone stops those.",
    ),
    Metric("nodewarden_source_lag_seconds", _GAUGE, "Age of the last event when it was read.", ("source",)),
    Metric("nodewarden_filter_up", _GAUGE, "0 while a detector's filter cannot be used: it finds nothing.", _DETECTOR),
    Metric("nodewarden_filter_candidates_total", _COUNTER, "Lines that were looked at closely.", _DETECTOR),
    Metric("nodewarden_filter_failures_total", _COUNTER, "Failures found.", _DETECTOR),
    Metric("nodewarden_filter_ignored_total", _COUNTER, "Lines that matched, but an ignoreregex too.", _DETECTOR),
    Metric(
        "nodewarden_filter_unusable_total",
        _COUNTER,
        "Failures that name no address: names are never resolved.",
        _DETECTOR,
    ),
    Metric(
        "nodewarden_filter_misdated_total",
        _COUNTER,
        "Lines whose date is not when they were written (a wrong clock or time zone): taken as of then.",
        _DETECTOR,
    ),
    Metric(
        "nodewarden_filter_outdated_total",
        _COUNTER,
        "Failures from before the start that are older than findtime, or without a date: not counted.",
        _DETECTOR,
    ),
    Metric(
        "nodewarden_filter_timeouts_total",
        _COUNTER,
        "Lines given up because an expression took longer than `confirm_timeout`: evidence that was not seen.",
        _DETECTOR,
    ),
    Metric("nodewarden_events_total", _COUNTER, "Events handed to the detectors.", ("kind",)),
    Metric("nodewarden_detector_alerts_total", _COUNTER, "Thresholds crossed.", ("detector", "mode")),
    Metric(
        "nodewarden_detector_agreements_total",
        _COUNTER,
        "Alerts whose offence a second source saw as well.",
        ("detector",),
    ),
    Metric("nodewarden_detector_maxretry", _GAUGE, "The threshold as configured.", ("detector",)),
    Metric("nodewarden_detector_window_entries", _GAUGE, "(key, item) pairs the window remembers.", ("detector",)),
    Metric("nodewarden_detector_window_entries_limit", _GAUGE, "Most pairs the window remembers.", ("detector",)),
    Metric(
        "nodewarden_detector_evicted_keys_total",
        _COUNTER,
        "Keys forgotten early because the window was full: evidence lost to a flood of sources.",
        ("detector",),
    ),
    Metric(
        "nodewarden_decisions_total",
        _COUNTER,
        "What became of alerts and of orders by hand (detector `manual`).",
        ("detector", "verdict"),
    ),
    Metric("nodewarden_bans", _GAUGE, "Bans in force (mode enforce) or only observed.", ("mode", "strength")),
    Metric("nodewarden_bans_limit", _GAUGE, "Most bans there can be."),
    Metric(
        "nodewarden_ban_failures_total",
        _COUNTER,
        "Bans decided on that the kernel refused; the log says which and why.",
    ),
    BAN_LATENCY,
    Metric("nodewarden_table_up", _GAUGE, "1 while the table inet nodewarden is known to be in place."),
    Metric(
        "nodewarden_table_setups_total", _COUNTER, "Times the table was set up: at start, and when it had vanished."
    ),
    Metric("nodewarden_set_dropped_packets_total", _COUNTER, "Packets stopped by a set.", ("set",)),
    Metric("nodewarden_set_dropped_bytes_total", _COUNTER, "Bytes stopped by a set.", ("set",)),
    Metric(
        "nodewarden_table_drift_total",
        _COUNTER,
        "Changes of others to the table that were noticed and mended, by kind.",
        ("kind",),
    ),
    Metric(
        "nodewarden_leaked_packets_total",
        _COUNTER,
        "Packets of banned sources that passed the table all the same, by the hook that saw them: a ban does not bite.",
        ("hook",),
    ),
    Metric(
        "nodewarden_connections_cut_total", _COUNTER, "Conntrack entries deleted because their other end was banned."
    ),
    Metric("nodewarden_budget_bans_per_minute", _GAUGE, "The most new bans a minute, as configured."),
    Metric("nodewarden_budget_refused_total", _COUNTER, "Bans that were only observed because the budget was spent."),
    Metric("nodewarden_state_saving", _GAUGE, "0 while bans and history cannot be written to disk."),
    Metric("nodewarden_state_pending_changes", _GAUGE, "Changes that are not on disk yet."),
    Metric("nodewarden_state_written_rows_total", _COUNTER, "Rows written to disk or removed."),
    Metric("nodewarden_state_failures_total", _COUNTER, "Attempts to write that failed."),
    Metric(
        "nodewarden_state_dropped_offences_total",
        _COUNTER,
        "Offences that were never written, because the disk failed for too long.",
    ),
    Metric("nodewarden_allowlist_networks", _GAUGE, "Networks that are never banned."),
    Metric("nodewarden_internal_errors_total", _COUNTER, "Batches lost to a fault of our own; the log has the trace."),
    Metric("nodewarden_config_reloads_total", _COUNTER, "Configuration reloads, by result.", ("result",)),
    Metric("nodewarden_config_last_reload_successful", _GAUGE, "0 while the files on disk are faulty."),
)

BY_NAME = {metric.name: metric for metric in METRICS}


def reference_markdown() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Generated from `monitor/metrics/catalogue.py`:",
        "`.venv/bin/python -m monitor.metrics.catalogue > docs/metrics.md`.",
        "",
        "Served at `http://127.0.0.1:9843/metrics` (`metrics.listen`). Label values come from closed sets;",
        "addresses are never labels: ask `nodewarden why ADDRESS` for those.",
        "The usual `process_*` metrics stand beside these.",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference_markdown())
