"""Messages to people."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_notify_messages_total",
        COUNTER,
        "Messages of a channel: delivered, refused (by the other end, or given up after a day), or lost because the "
        "queue was full.",
        ("channel", "outcome"),
    ),
    Metric("nodewarden_notify_queue", GAUGE, "Messages that wait for a channel.", ("channel",)),
)
