"""Block lists from elsewhere."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric("nodewarden_list_entries", GAUGE, "Networks of a block list that the kernel has.", ("list",)),
    Metric(
        "nodewarden_list_allowed_entries",
        GAUGE,
        "Networks of a block list that are left out because they are on the allowlist.",
        ("list",),
    ),
    Metric(
        "nodewarden_list_hits_total",
        COUNTER,
        "Packets from or to networks of a block list: dropped, or with `mode: observe` only counted.",
        ("list",),
    ),
    Metric(
        "nodewarden_list_age_seconds",
        GAUGE,
        "Time since the source of a block list had the content that is in use; 0 without a copy.",
        ("list",),
    ),
    Metric(
        "nodewarden_list_expires_seconds",
        GAUGE,
        "Time until the copy of a block list is no longer used unless it is renewed; 0 without a copy, or after it.",
        ("list",),
    ),
    Metric(
        "nodewarden_list_fault",
        GAUGE,
        "1 while a block list is missing, expired, cannot be renewed, or is refused by the kernel; otherwise 0.",
        ("list",),
    ),
    Metric(
        "nodewarden_lists_repairs_total",
        COUNTER,
        "How often the kernel's table of block lists was not as it should be, and was repaired.",
    ),
)
