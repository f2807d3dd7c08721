"""Node guard overview: is it well, is it being attacked, what was stopped, what is it costing."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import Row, address, board, leads_to, row
from dashboards.panels import (
    BAD,
    FACT,
    FULL,
    GOOD,
    NONE_IS_CALM,
    NONE_IS_GOOD,
    WARN,
    WATCH,
    About,
    Value,
    bars,
    card,
    lines,
    stack,
    steps,
)
from dashboards.queries import Query
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_GUARD = ("guard", "The guard itself")
_DETECTORS = ("detectors", "Detectors and thresholds")
_ALERTS = "nodewarden_detector_alerts_total"
_DECISIONS = "nodewarden_decisions_total"
_UP_OR_DOWN = (("0", "DOWN"), ("1", "up"))
_UP_IS_GOOD = ((None, BAD), (1, GOOD))


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "overview",
        "Node guard overview",
        "Start here: four questions, then every node, then when it happened.",
        row("", 6, *_questions()),
        row("Nodes: click on one to see it alone", 7, _nodes(), _firing(), widths=(15, 9)),
        *_attack(),
        *_cost(),
    )


def _questions() -> tuple[Panel, ...]:
    return (
        leads_to(_is_it_well(), *_GUARD),
        leads_to(_is_it_attacked(), "anomalies", "Anomalies"),
        leads_to(_what_was_stopped(), *_DETECTORS),
        leads_to(_what_does_it_cost(), *_GUARD),
    )


def _is_it_well() -> Panel:
    return card(
        "Is it well?",
        About(
            "Nodes whose guard does not answer; sources (kernel log, conntrack, eBPF, logs) that are needed and "
            "cannot be read; records lost before anybody read them; alerts of the Prometheus rules that fire.",
            "the guard sees less than it should: what is banned stays banned, but new attacks may go unnoticed.",
            "open *The guard itself*; on the node run `nodewarden status`, whose first lines say what is wrong.",
        ),
        Value("Nodes without guard", q.add(f"1 - {q.select('up')}"), steps=NONE_IS_GOOD, decimals=0),
        Value("Sources lost", q.LOST_SOURCES, steps=NONE_IS_GOOD, decimals=0),
        Value("Records lost", q.per_second("nodewarden_source_lost_records_total"), "cps", NONE_IS_GOOD),
        Value("Alerts firing", q.FIRING, steps=NONE_IS_GOOD, decimals=0),
    )


def _is_it_attacked() -> Panel:
    return card(
        "Is it being attacked?",
        About(
            "How often detectors fire, floods of forged sources are noticed, and new bans begin, by the minute; and "
            "how many watched signals are outside of their usual band.",
            "somebody is at work. A few alerts a minute are ordinary on the open Internet; floods and signals outside "
            "of their band are not.",
            "open *Anomalies* for when and where, *Detectors and thresholds* for what; `nodewarden list` names the "
            "sources, `nodewarden why ADDRESS` says what they did.",
        ),
        Value("Alerts", q.per_minute(_ALERTS), "suffix:/min", ((None, GOOD), (1e-9, WATCH), (60, WARN)), 1),
        Value("Floods", q.per_minute("nodewarden_detector_floods_total"), "suffix:/min", NONE_IS_GOOD, 1),
        Value("New bans", q.per_minute(_DECISIONS, 'verdict="ban"'), "suffix:/min", NONE_IS_CALM, 1),
        Value("Unusual signals", q.OUTSIDE, steps=NONE_IS_GOOD, decimals=0),
    )


def _what_was_stopped() -> Panel:
    return card(
        "What was stopped?",
        About(
            "Packets and bytes that our sets stop now, in the firewall and in front of the stack; bans in force; and "
            "how long most bans took, from the event that crossed a threshold to the kernel's set, in the time shown.",
            "banned sources go on trying: that is what bans are for. A long time to ban gives attackers that much "
            "more; from log files, up to a second is ordinary.",
            "nothing, if it is well. Against a flood that fills the line only the provider helps.",
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


def _what_does_it_cost() -> Panel:
    cpu = q.most(q.over("rate", "process_cpu_seconds_total"))
    return card(
        "What does it cost?",
        About(
            "Of the node that has it worst: processor time of the guard (100 % is one core), its memory, the time "
            "that counting a dropped packet takes in the kernel, and how full the connection table is.",
            "the guard works harder, which in a flood is expected; a connection table that is nearly full makes the "
            "kernel drop new connections of everybody.",
            "if the table fills, raise `net.netfilter.nf_conntrack_max` and find out who fills it (*Traffic*); if the "
            "guard itself costs too much, see *The guard itself*.",
        ),
        Value("Processor", cpu, "percentunit", ((None, GOOD), (0.5, WARN), (0.9, BAD)), 1),
        Value("Memory", q.most(q.select("process_resident_memory_bytes")), "bytes", FACT),
        Value("Counting a drop", q.EBPF_RUN_S, "s", ((None, GOOD), (1e-6, WARN))),
        Value("Connection table", q.most(q.CONNTRACK_USE), "percentunit", FULL, 1),
    )


def _nodes() -> Panel:
    return grid(
        "Nodes",
        About(
            "Every node and what goes on there now; those with most alerts come first.",
            "in *Alerts*: this node is under attack; `DOWN` that nobody watches it, and *Table* near 100 % that it "
            "will refuse new connections.",
            "click on a node to see it alone. For one that is DOWN: `systemctl status nodewarden` there; its bans go "
            "on in the kernel until they end.",
        ),
        (CLUSTER, NODE),
        (
            Column("Guard", q.most(q.select("up"), q.BY_NODE), steps=_UP_IS_GOOD, words=_UP_OR_DOWN),
            Column("Alerts", q.per_minute(_ALERTS, by=q.BY_NODE), "suffix:/min", NONE_IS_CALM, 1),
            Column("Unusual", q.now("nodewarden:signal:anomaly", by=q.BY_NODE), steps=NONE_IS_GOOD, decimals=0),
            Column("Table", q.most(q.CONNTRACK_USE, q.BY_NODE), "percentunit", FULL, 1),
            Column("Bans", q.now("nodewarden_bans", 'mode="enforce"', by=q.BY_NODE), decimals=0),
            Column("Stopped", q.stopped(by=q.BY_NODE), "pps"),
            Column("Dropped", q.per_second("nodewarden_kernel_dropped_packets_total", by=q.BY_NODE), "pps"),
        ),
        sort_by="Alerts",
        link=("instance", address("overview", "var-cluster=${__data.fields.Cluster}", "var-instance=${__value.raw}")),
    )


def _firing() -> Panel:
    return grid(
        "Alerts that fire",
        About(
            "Alerts of the Prometheus rules that fire now, and for how long what they tell of has been so.",
            "something needs a person: `critical` now, `warning` today.",
            "each has a page, docs/runbooks/NodewardenNAME.md: meaning, impact, diagnosis, mitigation.",
        ),
        (Key("alertname", "Alert", 140), Key("severity", "Severity", 75), Key("instance", "Node", 80)),
        (Column("For", q.most(q.FIRING_FOR_S, "alertname, severity, instance"), "s", decimals=0),),
        sort_by="For",
        nothing="none",
    )


def _attack() -> tuple[Row, ...]:
    return (
        row(
            "Is it being attacked? What was stopped?",
            8,
            leads_to(_by_detector(), *_DETECTORS),
            leads_to(_outcome(), *_DETECTORS),
        ),
        row("", 8, _stopped(), _bans()),
    )


def _by_detector() -> Panel:
    return bars(
        "Alerts by detector",
        About(
            "How often each detector's threshold was crossed.",
            "sources do what the detector is named after, or that its threshold is too low for this node.",
            "`nodewarden list` and `nodewarden why ADDRESS`; if they are yours, allow them or raise `maxretry`.",
        ),
        "suffix:/min",
        Query(q.per_minute(_ALERTS, by="detector"), "{{detector}}"),
    )


def _outcome() -> Panel:
    return bars(
        "What became of the alerts",
        About(
            "Decisions: `banned` a new ban, `banned already` one in force does it, `only observed` the detector does "
            "not enforce, `protected` somebody on the allowlist, `over budget` too many at once, `no room` for more.",
            "in `banned` an attack that is being dealt with; in `over budget` and `no room`: offenders go free.",
            "for `over budget` decide whether it is an attack or a mistake, then raise `bans.budget`; for `protected` "
            "ask why somebody trusted offends.",
        ),
        "suffix:/min",
        known.verdicts(),
    )


def _stopped() -> Panel:
    return stack(
        "Packets stopped, by set",
        About(
            "Packets that our table drops: `ban` everything from a proven offender, `shun` new connections of "
            "somebody whose evidence could be forged, `egress` what the node sends to a banned destination.",
            "banned sources go on sending. In `egress`, that something inside calls where it must not.",
            "nothing for `ban` and `shun`. For `egress` find the pod or process: `nodewarden why ADDRESS`.",
        ),
        "pps",
        known.stopped_packets(),
    )


def _bans() -> Panel:
    return steps(
        "Bans in force",
        About(
            "How many bans there are, by strength of evidence; `only observed` are such as would be, if their "
            "detector enforced.",
            "more offenders. A steep rise is a botnet, or a threshold that hits ordinary users.",
            "`nodewarden list --sort since` shows the newest; `nodewarden unban ADDRESS` ends a mistake.",
        ),
        "short",
        known.bans(),
    )


def _cost() -> tuple[Row, ...]:
    return (
        row(
            "What is dropped beside that? What does it cost?",
            8,
            leads_to(_dropped(), "drops", "Drops"),
            leads_to(_table(), "traffic", "Traffic"),
        ),
        row("", 7, _processor(), _memory()),
    )


def _dropped() -> Panel:
    return stack(
        "Packets dropped by the kernel",
        About(
            "Everything that the kernel drops on the node and in its pods, ours included, by the most frequent "
            "reasons.",
            "an attack, a firewall that says no, or trouble of the node itself: the reason tells which.",
            "open *Drops*.",
        ),
        "pps",
        Query(q.frequent("nodewarden_kernel_dropped_packets_total", "reason", 8), "{{reason}}"),
    )


def _table() -> Panel:
    return lines(
        "Connection table in use",
        About(
            "Share of the kernel's connection table that is in use, of the ten fullest nodes.",
            "many connections, or a flood of half-open ones. At 100 % the kernel drops new connections of everybody.",
            "raise `net.netfilter.nf_conntrack_max`; see who opens them in *Traffic*.",
        ),
        "percentunit",
        Query(q.highest(q.CONNTRACK_USE), "{{instance}}"),
        limit=0.9,
    )


def _processor() -> Panel:
    return lines(
        "Processor time of the guard",
        About(
            "Cores that the guard takes, of the ten nodes where it takes most; 100 % is one core.",
            "it has more to read: a flood, or a log that grows fast.",
            "see which source delivers most in *The guard itself*; limit the firewall's log rule if that is it.",
        ),
        "percentunit",
        Query(q.highest(q.over("rate", "process_cpu_seconds_total")), "{{instance}}"),
    )


def _memory() -> Panel:
    return lines(
        "Memory of the guard",
        About(
            "Resident memory, of the ten nodes where it is largest. All tables in it are bounded.",
            "more sources or bans to remember. One that never stops is a leak.",
            "see *The guard itself*; report a leak with `nodewarden status --json`.",
        ),
        "bytes",
        Query(q.highest(q.select("process_resident_memory_bytes")), "{{instance}}"),
    )
