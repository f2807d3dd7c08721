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
        "nodewarden_kernel_released_buffers_total",
        COUNTER,
        "Buffers that the kernel reports as dropped although no packet was lost: messages of local sockets "
        "(`no_packet`), and what was left when a socket or queue was closed (`teardown`).",
        ("reason", "fate"),
    ),
    Metric(
        "nodewarden_pod_dropped_packets_total",
        COUNTER,
        "Packets dropped in the network namespaces of pods, by class of reason, of the pods with most drops "
        "(`sources.drops.pods`); all others are namespace and pod `other`.",
        ("namespace", "pod", "class"),
    ),
    Metric(
        "nodewarden_ebpf_rung",
        GAUGE,
        "1 for the attach mode in use: `tracing` (best), `raw_tracepoint` (costs more), `tracepoint` (sees no source) "
        "or `off`.",
        ("program", "rung"),
    ),
)
