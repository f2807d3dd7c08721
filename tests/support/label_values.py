"""What labels of metrics can be: closed sets from the code that fills them, examples where there is no such set."""

from monitor.audit.findings import Severity
from monitor.bans.claims import Rank
from monitor.bans.decision import Ending, Verdict
from monitor.control.clients import Drop
from monitor.crowdsec.claims import Outcome
from monitor.crowdsec.errors import Cause as LapiCause
from monitor.daemon.fleet.watch import PEER_STATES
from monitor.daemon.life.scraper_watch import ScraperState
from monitor.daemon.notify.watch import OUTCOMES
from monitor.daemon.pipeline.harm import Sign
from monitor.daemon.trial.record import Result
from monitor.detectors.registry import REGISTRATIONS
from monitor.ebpf.messages import ATTACH_MODES
from monitor.ebpf.reasons import Fate, ReasonClass
from monitor.enforcers.nftables.drift import DriftKind
from monitor.enforcers.nftables.faults import FAULTS
from monitor.enforcers.nftables.ruleset import BAN_SETS, LEAK_HOOKS
from monitor.fleet.comparison import Subject
from monitor.fleet.refusals import Cause
from monitor.metrics.metric import Metric
from monitor.model.alerts import Strength
from monitor.model.bans import NOT_DETECTORS, Mode
from monitor.model.events import KINDS
from monitor.model.problems import ProblemKind
from monitor.recording.recorder import CAUSES as LOSSES
from monitor.sources.kmsg.format import CAUSES as DEFECTS

_SOURCES = ("kernel_log", "conntrack", "drops", "xdp", "journal", "files")
_DETECTORS = tuple(one.name for one in REGISTRATIONS)
_FILTERS = ("sshd", "nginx-http-auth", "postfix", "dovecot")
_BOTH = ("yes", "no")

CLOSED: dict[str, dict[str, tuple[str, ...]]] = {
    "approved": {"": _BOTH},
    "action": {"": ("ban", "unban")},
    "cause": {
        "nodewarden_bans_ended_total": tuple(Ending),
        "nodewarden_client_connections_dropped_total": tuple(Drop),
        "nodewarden_fleet_refused_total": tuple(Cause),
        "nodewarden_crowdsec_failures_total": tuple(LapiCause),
        "nodewarden_recording_lost_total": LOSSES,
        "nodewarden_source_malformed_records_total": (*DEFECTS, "unreadable"),
    },
    "class": {
        "": tuple(one.label for one in Rank),
        "nodewarden_pod_dropped_packets_total": tuple(map(str, ReasonClass)),
    },
    "direction": {
        "": ("in", "out", "forwarded", "local"),
        "nodewarden_kernel_dropped_packets_total": ("in", "out"),
        "nodewarden_kernel_dropped_bytes_total": ("in", "out"),
    },
    "event": {
        "nodewarden_flows_total": ("opened", "closed"),
        "nodewarden_conntrack_table_total": (
            *("found", "invalid", "insert", "insert_failed", "drop", "early_drop", "error", "search_restart"),
            *("clash_resolve", "chain_toolong"),
        ),
    },
    "family": {"": ("ipv4", "ipv6")},
    "fate": {"": tuple(one.value for one in Fate)},
    "foreign": {"": _BOTH},
    "found_by": {"": ("shadow", "both", "real")},
    "hook": {"": LEAK_HOOKS},
    "kind": {
        "nodewarden_events_total": tuple(KINDS.values()),
        "nodewarden_problem": tuple(ProblemKind),
        "nodewarden_table_drift_total": tuple(DriftKind),
    },
    "listener": {"": ("log", "metrics", "store", "events", "crowdsec")},
    "mode": {"": tuple(Mode), "nodewarden_xdp_attached": ("native", "generic")},
    "outcome": {"": tuple(Outcome), "nodewarden_notify_messages_total": OUTCOMES},
    "part": {"": FAULTS},
    "program": {"": ("drops", "xdp_ban", "first_packets")},
    "protocol": {"": ("tcp", "udp", "icmp", "icmpv6", "igmp", "other")},
    "reason": {
        "nodewarden_evidence_set_aside_total": (
            *("known_service", "outbound", "accepted", "unchecked", "internal", "contested"),
        )
    },
    "result": {
        "nodewarden_config_reloads_total": ("success", "failure"),
        "nodewarden_trials_total": ("started", *Result),
    },
    "rung": {"": ATTACH_MODES},
    "severity": {"": tuple(Severity)},
    "server": {"": ("metrics", "control")},
    "sign": {"": tuple(Sign)},
    "source": {"": _SOURCES},
    "state": {"": tuple(ScraperState), "nodewarden_fleet_peers": PEER_STATES},
    "strength": {"": tuple(map(str, Strength))},
    "subject": {"": tuple(Subject)},
    "task": {"": ("pull", "push")},
    "tunnelled": {"": _BOTH},
    "verdict": {"": tuple(Verdict)},
}
"""The closed sets, by label and metric; those of a metric that is not named are under the empty name."""

_EXAMPLES: dict[str, tuple[str, ...]] = {
    "channel": ("mail", "chat"),
    "check": ("exposed-etcd", "exposed-kubelet", "default-accept", "redirects"),
    "detector": (*_DETECTORS, *_FILTERS),
    "interface": ("eth0",),
    "list": ("drop", "seen"),
    "map": ("drop_offenders", "drop_probers", "first_packets"),
    "namespace": ("default",),
    "peer": ("web-1", "web-2", "other"),
    "pod": ("web-1", "web-2", "db-1", "other"),
    "provider": ("configuration", "node", "sessions", "kubernetes"),
    "reason": (
        *("NETFILTER_DROP", "NO_SOCKET", "TCP_OLD_SEQUENCE", "TCP_INVALID_SEQUENCE", "TCP_FLAGS", "TCP_CSUM"),
        *("SOCKET_RCVBUFF", "IP_INHDR", "NEIGH_FAILED", "OTHERHOST", "UNHANDLED_PROTO", "NOT_SPECIFIED"),
    ),
    "set": tuple(BAN_SETS),
    "sysctl": ("net.netfilter.nf_conntrack_acct", "net.ipv4.tcp_syncookies"),
    "version": ("1.0.0",),
}
"""Values of labels whose sets are open, or as large as a kernel makes them."""
_OF_FILTERS = ("nodewarden_filter_", "nodewarden_detector_ignored_networks_total")


def closed_values(metric: str, label: str) -> tuple[str, ...]:
    """Return every value that a label of a metric can have; nothing if its set is open."""
    by_metric = CLOSED.get(label, {})
    return by_metric.get(metric, by_metric.get("", ()))


def values(metric: Metric, label: str) -> tuple[str, ...]:
    """Return values that a label of a metric has on a busy node; KeyError for a label that nothing is known of."""
    if label == "detector" and metric.name.startswith(_OF_FILTERS):
        return _FILTERS
    if (label, metric.name) == ("detector", "nodewarden_decisions_total"):
        return (*_EXAMPLES[label], *NOT_DETECTORS)
    return closed_values(metric.name, label) or _EXAMPLES[label]
