"""The questions at the top of the overview: health, attacks, harm; then what was stopped, and cost."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import leads_to
from dashboards.panels import BAD, FACT, FULL, GOOD, NONE_IS_CALM, NONE_IS_GOOD, WARN, WATCH, About, Steps, Value, card

GUARD = ("guard", "Guard health")
DETECTORS = ("detectors", "Detectors and thresholds")
ALERTS = "nodewarden_detector_alerts_total"
_DECISIONS = "nodewarden_decisions_total"
_HARM = "nodewarden_harm_signs_total"
_UNAPPROVED = q.recent("nodewarden_egress_flows_total", 'approved="no"')
_CALLS_OUT = f"{_UNAPPROVED} + {q.recent('nodewarden_egress_uncovered_flows_total')}"
"""Flows to destinations that are not approved, also of pods and networks that no detector watches."""
_FEW_ARE_CALM: Steps = ((None, GOOD), (1e-9, WATCH), (5, WARN))
_ONE_IS_WARNING: Steps = ((None, GOOD), (1e-9, WARN))
_BY_DETECTORS = 'detector!="manual"'


def questions() -> tuple[Panel, ...]:
    """Return the cards that say whether somebody must act."""
    return (
        leads_to(_is_it_well(), *GUARD),
        leads_to(_is_it_attacked(), "anomalies", "Anomalies"),
        leads_to(_is_it_hurting(), *DETECTORS),
    )


def answers() -> tuple[Panel, ...]:
    """Return the cards of facts."""
    return (
        leads_to(_what_was_stopped(), *DETECTORS),
        leads_to(_what_does_it_cost(), *GUARD),
    )


def _is_it_well() -> Panel:
    return card(
        "Is the guard healthy?",
        About(
            "Nodes whose guard does not respond; problems that `nodewarden status` reports, by kind and node; required "
            "sources (kernel log, conntrack, eBPF, logs) that cannot be read; records lost before they were read; "
            "firing alerts of the Prometheus rules; how full the connection table of the fullest node is.",
            "Evidence is missing. Existing bans stay in force, but new attacks may go undetected. When the connection "
            "table is full, the kernel drops every new connection.",
            "Open *Guard health*. On the node run `nodewarden status`; problems come first. If the table fills, raise "
            "`net.netfilter.nf_conntrack_max` and find the source in *Traffic*.",
        ),
        Value("Nodes without guard", q.add(f"1 - {q.select('up')}"), steps=NONE_IS_GOOD, decimals=0),
        Value("Problems", q.add(q.select("nodewarden_problem")), steps=NONE_IS_GOOD, decimals=0),
        Value("Sources lost", q.LOST_SOURCES, steps=NONE_IS_GOOD, decimals=0),
        Value("Records lost", q.per_second("nodewarden_source_lost_records_total"), "cps", NONE_IS_GOOD),
        Value("Alerts firing", q.FIRING, steps=NONE_IS_GOOD, decimals=0),
        Value("Connection table", q.most(q.CONNTRACK_USE), "percentunit", FULL, 1),
    )


def _is_it_attacked() -> Panel:
    return card(
        "Are nodes under attack?",
        About(
            "Within 15 minutes: alerts, new bans of detectors, the size of the largest flood with forged sources "
            "(incomplete connection attempts per second on one node), and the share of connection attempts that "
            "stayed incomplete; flows to destinations that are not approved, also from networks behind a node that "
            "nothing watches. Now: floods that last, watched signals outside their usual band (`-`: there are no "
            "bands), and the time since the last flood or signal above its band.",
            "Sources scan, guess passwords or flood. A few alerts per minute are normal on the public Internet; "
            "floods and signals outside their band are not.",
            "Open *Anomalies* for node and time, *Detectors and thresholds* for the detector. `nodewarden list` shows "
            "the sources, `nodewarden why ADDRESS` the history of one.",
        ),
        Value("Alerts in 15 min", q.recent(ALERTS), steps=((None, GOOD), (1e-9, WATCH), (900, WARN)), decimals=0),
        Value("Floods now", q.add(q.select("nodewarden_flood_active")), steps=NONE_IS_GOOD, decimals=0),
        Value("Largest flood", q.LARGEST_FLOOD, "suffix:/s", NONE_IS_GOOD, 0),
        Value("Half-open", q.HALF_OPEN, "percentunit", ((None, GOOD), (0.5, WATCH), (0.9, WARN)), 0),
        Value(
            "New bans in 15 min", q.recent(_DECISIONS, 'verdict="ban"', _BY_DETECTORS), steps=NONE_IS_CALM, decimals=0
        ),
        Value("Calls out, not approved", _CALLS_OUT, steps=NONE_IS_CALM, decimals=0),
        Value("Unusual signals", q.OUTSIDE, steps=NONE_IS_GOOD, decimals=0),
        Value("Since last attack", q.LAST_ATTACK_S, "s", ((None, BAD), (120, WATCH), (3600, GOOD)), 0),
    )


def _what_was_stopped() -> Panel:
    return card(
        "What was stopped?",
        About(
            "Packets and bytes dropped by the guard's sets, in nftables and XDP; bans in force; 95th percentile of "
            "the time to ban over the time range shown, from the event that crossed a threshold to the element in the "
            "kernel's set.",
            "Banned sources keep sending, as expected. A long time to ban gives attackers that much more time; up to "
            "1 s is normal for log files.",
            "Nothing while the time to ban is low. A flood that saturates the uplink can only be filtered by the "
            "provider.",
        ),
        Value("Packets", q.stopped(), "pps", FACT),
        Value("Bytes", q.stopped("bytes"), "Bps", FACT),
        Value("Bans in force", q.now("nodewarden_bans", 'mode="enforce"'), "short", FACT, 0),
        Value(
            "Time to ban",
            q.quantile(0.95, "nodewarden_ban_latency_seconds", "$__range"),
            "s",
            ((None, GOOD), (2.5, WARN), (10, BAD)),
        ),
    )


def _is_it_hurting() -> Panel:
    return card(
        "Is it hurting us?",
        About(
            "Within 15 minutes: clients that worked with a node for long before and are shunned on evidence that "
            "anyone can forge, or banned on proof; bans that somebody lifted within ten minutes; alerts about "
            "allowlisted sources; connections of banned sources that were cut; the share of dropped packets that came "
            "from internal networks. Now: clients that monitor a node and are banned.",
            "Bans may hit others than offenders: a threshold is too low, many share an address, or somebody forges "
            "addresses.",
            "Run `nodewarden status` and `nodewarden list --sort since`, then `nodewarden why ADDRESS`. See the "
            "runbook docs/runbooks/NodewardenHurting.md.",
        ),
        Value("Clients shunned", q.recent(_HARM, 'sign="client_shunned"'), steps=NONE_IS_GOOD, decimals=0),
        Value("Clients banned", q.recent(_HARM, 'sign="client_banned"'), steps=_FEW_ARE_CALM, decimals=0),
        Value("Lifted by hand", q.recent(_HARM, 'sign="lifted_early"'), steps=NONE_IS_GOOD, decimals=0),
        Value("Allowlisted offenders", q.recent(_HARM, 'sign="allowlisted"'), steps=_ONE_IS_WARNING, decimals=0),
        Value("Connections cut", q.recent("nodewarden_connections_cut_total"), steps=FACT, decimals=0),
        Value("Monitors banned", q.now("nodewarden_scrapers", 'state="banned"'), steps=NONE_IS_GOOD, decimals=0),
        Value("From internal networks", q.INTERNAL_SHARE, "percentunit", ((None, GOOD), (0.1, WARN), (0.5, BAD)), 0),
    )


def _what_does_it_cost() -> Panel:
    cpu = q.most(q.over("rate", "process_cpu_seconds_total"))
    return card(
        "What does it cost?",
        About(
            "On the node with the highest value: CPU time (100 % is one core) and memory of the guard. Mean time of "
            "one eBPF program run, over all nodes.",
            "The guard has more to process, as expected during a flood.",
            "If the guard costs too much, see *Guard health*.",
        ),
        Value("CPU", cpu, "percentunit", ((None, GOOD), (0.5, WARN), (0.9, BAD)), 1),
        Value("Memory", q.most(q.select("process_resident_memory_bytes")), "bytes", FACT),
        Value("eBPF run", q.EBPF_RUN_S, "s", ((None, GOOD), (1e-6, WARN))),
    )
