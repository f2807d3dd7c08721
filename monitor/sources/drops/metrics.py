"""What only the drop counters count."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

_LABELS = ("reason", "family", "direction", "tunnelled", "foreign")

METRICS = (
    Metric(
        "nodewarden_kernel_dropped_packets_total",
        COUNTER,
        "Packets that the kernel dropped, by its name for the reason; `foreign`: in another network namespace.",
        _LABELS,
    ),
    Metric(
        "nodewarden_kernel_dropped_bytes_total",
        COUNTER,
        "Bytes of these packets, without headers that the kernel had already removed.",
        _LABELS,
    ),
    Metric(
        "nodewarden_ebpf_rung",
        GAUGE,
        "1 for the attach mode in use: `tracing` (best), `raw_tracepoint` (costs more), `tracepoint` (sees no source) "
        "or `off`.",
        ("program", "rung"),
    ),
)
