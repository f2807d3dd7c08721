"""eBPF programs: whether they run, and what they cost."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_ebpf_up", GAUGE, "1 while the program is attached.", ("program",)),
    Metric(
        "nodewarden_ebpf_run_seconds_total",
        COUNTER,
        "Run time of the program, measured during one second of each minute.",
        ("program",),
    ),
    Metric("nodewarden_ebpf_runs_total", COUNTER, "Runs of the program during the same seconds.", ("program",)),
    Metric("nodewarden_ebpf_map_entries", GAUGE, "Entries in a map that sources fill.", ("map",)),
    Metric("nodewarden_ebpf_map_entries_limit", GAUGE, "Maximum number of entries in the map.", ("map",)),
    Metric(
        "nodewarden_ebpf_sketch_load_ratio",
        GAUGE,
        "Load of the sketch that finds frequent sources; above 1, a source must send more often to be noticed.",
        ("program",),
    ),
    Metric(
        "nodewarden_ebpf_lost_sources_total",
        COUNTER,
        "Packets of sources that were not counted, because there were too many others.",
        ("program",),
    ),
)
