"""The audit of what is open on this node."""

from monitor.metrics.metric import GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_audit_findings",
        GAUGE,
        "What fails in the last audit and is not suppressed, by check and severity; a check that passes has no sample.",
        ("check", "severity"),
    ),
    Metric(
        "nodewarden_audit_unknown",
        GAUGE,
        "What the last audit could not judge; `nodewarden audit` says why.",
    ),
    Metric(
        "nodewarden_audit_time_seconds",
        GAUGE,
        "When the last audit ran, in seconds since the epoch; 0 if there is no report that can be read.",
    ),
)
