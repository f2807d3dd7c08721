"""What eBPF programs count, and what they cost."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_kernel_dropped_packets_total",
        COUNTER,
        "Packets that the kernel dropped, by its own name of the reason; `foreign`: in other network namespaces.",
        ("reason", "family", "direction", "tunnelled", "foreign"),
    ),
    Metric(
        "nodewarden_kernel_dropped_bytes_total",
        COUNTER,
        "Their bytes, as far as the kernel had not taken headers off them.",
        ("reason", "family", "direction", "tunnelled", "foreign"),
    ),
    Metric("nodewarden_ebpf_up", GAUGE, "1 while the program is attached.", ("program",)),
    Metric(
        "nodewarden_ebpf_rung",
        GAUGE,
        "1 for how the program runs: `tracing` is best, `raw_tracepoint` dearer, `tracepoint` sees no source, `off`.",
        ("program", "rung"),
    ),
    Metric(
        "nodewarden_ebpf_run_seconds_total",
        COUNTER,
        "Time the program took, in the one second of each minute in which the kernel keeps count.",
        ("program",),
    ),
    Metric("nodewarden_ebpf_runs_total", COUNTER, "Runs of the program, in the same seconds.", ("program",)),
    Metric("nodewarden_ebpf_map_entries", GAUGE, "Entries of a map that sources fill.", ("map",)),
    Metric("nodewarden_ebpf_map_entries_limit", GAUGE, "Entries it can hold.", ("map",)),
    Metric(
        "nodewarden_ebpf_sketch_load_ratio",
        GAUGE,
        "How full the sketch was that finds frequent sources: above 1, they must come more often to be noticed.",
        ("program",),
    ),
    Metric(
        "nodewarden_ebpf_lost_sources_total",
        COUNTER,
        "Packets of sources that could not be counted, because too many others were.",
        ("program",),
    ),
    Metric("nodewarden_xdp_attached", GAUGE, "1 for how an interface drops in front.", ("interface", "mode")),
    Metric("nodewarden_xdp_dropped_packets_total", COUNTER, "Packets stopped in front of the stack, by set.", ("set",)),
    Metric("nodewarden_xdp_dropped_bytes_total", COUNTER, "Bytes stopped in front of the stack, by set.", ("set",)),
    Metric(
        "nodewarden_xdp_missing_bans_total",
        COUNTER,
        "Bans that did not fit in front of the stack: nftables alone stops those.",
    ),
)
