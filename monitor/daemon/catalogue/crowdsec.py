"""CrowdSec: what is pulled from its local API (LAPI) and pushed to it; nothing while `crowdsec.url` is empty."""

from monitor.metrics.metric import COUNTER, GAUGE, Metric

METRICS = (
    Metric(
        "nodewarden_crowdsec_up",
        GAUGE,
        "0 while the last exchange with LAPI failed, by task: `pull`, `push`.",
        ("task",),
    ),
    Metric(
        "nodewarden_crowdsec_failures_total",
        COUNTER,
        "Failed exchanges with LAPI, by task and cause: `unreachable`, `tls`, `timeout`, `refused` (key or "
        "password), `status` (of HTTP), `answer` (malformed, or it ended early), `credentials` (a file), `internal`.",
        ("task", "cause"),
    ),
    Metric("nodewarden_crowdsec_decisions", GAUGE, "Decisions of LAPI that are held."),
    Metric(
        "nodewarden_crowdsec_pulled_total",
        COUNTER,
        "Decisions that LAPI sent, by what became of them: `taken`, `allowlisted`, `full`, `refused` (by the kernel), "
        "`surplus` (crowdsec.max_decisions), `malformed`, `type` (no ban), `scope` (no address or range), `origin`, "
        "`own` (pushed by this node), `wide` (too short a prefix), `unusable` (loopback, multicast), `expired`.",
        ("outcome",),
    ),
    Metric(
        "nodewarden_crowdsec_pushed_total",
        COUNTER,
        "Bans that LAPI took from this node (`ban`), and bans that were withdrawn there (`unban`).",
        ("action",),
    ),
    Metric("nodewarden_crowdsec_push_waiting", GAUGE, "Bans and unbans that wait to be pushed to LAPI."),
    Metric(
        "nodewarden_crowdsec_push_dropped_total",
        COUNTER,
        "Bans and unbans that were never pushed: too many waited, or LAPI refused an unban.",
    ),
)
