"""Node guard overview: health, attacks, what was stopped, and cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.aggregates import FLOODS
from dashboards.board import Row, address, board, leads_to, row
from dashboards.panels import (
    BAD,
    FULL,
    GOOD,
    NONE_IS_CALM,
    NONE_IS_GOOD,
    About,
    bars,
    lines,
    stack,
    steps,
)
from dashboards.queries import Query
from dashboards.questions import ALERTS, DETECTORS, answers, questions
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_UP_OR_DOWN = (("0", "DOWN"), ("1", "up"))
_UP_IS_GOOD = ((None, BAD), (1, GOOD))


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "overview",
        "Node guard overview",
        "Start here: five questions, the state of every node, then the course over time.",
        row("", 10, *questions()),
        row("", 6, *answers()),
        row("", 5, _firing()),
        row("Nodes (click one to select it)", 7, _nodes()),
        *_attack(),
        *_cost(),
    )


def _nodes() -> Panel:
    return grid(
        "Nodes",
        About(
            "Current state of each node, sorted by alerts within 15 minutes.",
            "*Alerts*: the node is under attack. `DOWN`: its guard does not respond. *Table* near 100 %: the node is "
            "about to refuse new connections.",
            "Click a node to select it. If it is DOWN, run `systemctl status nodewarden` there; bans in the kernel "
            "stay in force until they expire.",
        ),
        (CLUSTER, NODE),
        (
            Column("Guard", q.most(q.select("up"), q.BY_NODE), steps=_UP_IS_GOOD, words=_UP_OR_DOWN),
            Column("Alerts", q.recent(ALERTS, by=q.BY_NODE), "short", NONE_IS_CALM, 0),
            Column("Unusual", q.now(q.ANOMALY, by=q.BY_NODE), steps=NONE_IS_GOOD, decimals=0),
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
        "Firing alerts",
        About(
            "Firing alerts of the Prometheus rules, those that need attention now first, and how long their condition "
            "has lasted.",
            "`critical` needs attention now, `warning` today.",
            "Click an alert for its rule with the link to its runbook (docs/runbooks): meaning, impact, diagnosis, "
            "mitigation.",
        ),
        (Key("severity", "Severity", 85), Key("alertname", "Alert", 300), CLUSTER, Key("instance", "Node", 200)),
        (Column("For", q.most(q.FIRING_FOR_S, "severity, alertname, cluster, instance"), "s", decimals=0),),
        sort_by=(("Severity", False), ("For", True)),
        link=("alertname", "/alerting/list?search=${__value.raw}"),
        nothing="no alert fires",
    )


def _attack() -> tuple[Row, ...]:
    return (
        row(
            "Attacks and bans",
            8,
            leads_to(_by_detector(), *DETECTORS),
            leads_to(_outcome(), *DETECTORS),
        ),
        row("", 8, _stopped(), _bans()),
        row("", 8, _floods(), _hurting()),
    )


def _by_detector() -> Panel:
    return bars(
        "Alerts by detector",
        About(
            "How often each detector's threshold was crossed.",
            "Sources show the behaviour that the detector looks for, or its threshold is too low for this node.",
            "Run `nodewarden list` and `nodewarden why ADDRESS`. If the sources are yours, allow them or raise "
            "`maxretry`.",
        ),
        "short",
        Query(q.events(ALERTS, by="detector"), "{{detector}}"),
        examples=q.examples(ALERTS),
    )


def _outcome() -> Panel:
    return bars(
        "Decisions on alerts",
        About(
            "`banned`: a new ban. `observed`: the detector does not enforce. `over budget`: too many new bans per "
            "minute. `already banned`: a ban in force covers it. `allowlisted`: never banned. `expired`: the ban "
            "would already have ended. `at capacity`: `bans.max_bans` is reached.",
            "`banned`: an attack is being handled. `flood`: an alert about forged sources, of whom none can be banned. "
            "`over budget`, `at capacity`: offenders are not banned.",
            "`over budget`: decide whether it is an attack or a wrong threshold, then raise `bans.budget`. "
            "`allowlisted`: find out why a trusted source offends.",
        ),
        "short",
        (*known.verdicts(), Query(q.events("nodewarden_detector_floods_total"), "flood: nobody to ban", "dark-blue")),
    )


def _hurting() -> Panel:
    return bars(
        "Signs that bans hurt",
        About(
            "Bans and shuns of sources that were clients for long before, alerts about allowlisted sources, bans "
            "lifted by hand within ten minutes, and bans that the guard took back for lack of evidence.",
            "A threshold that ordinary clients cross, an address that many share, or forged addresses of clients.",
            "Find the detector with `nodewarden list --sort since`; raise its `maxretry`, or have it observe. See the "
            "runbook docs/runbooks/NodewardenHurting.md.",
        ),
        "short",
        Query(q.events("nodewarden_harm_signs_total", by="sign"), "{{sign}}"),
    )


def _floods() -> Panel:
    return lines(
        "Floods with forged sources",
        About(
            "Size of the flood on the ten nodes where it is largest, as the guard last reported it: connection "
            "attempts per second that stayed incomplete. 0 while there is no flood.",
            "A SYN flood. Its sources are many and probably forged, so none is banned.",
            "`nodewarden status` names the target. Set `net.ipv4.tcp_syncookies` to 1; see the runbook "
            "docs/runbooks/NodewardenFlood.md.",
        ),
        "suffix:/s",
        Query(q.highest(q.select(FLOODS)), "{{instance}}"),
        nothing="no flood in the time shown",
    )


def _stopped() -> Panel:
    return stack(
        "Packets stopped, by set",
        About(
            "Packets dropped by the guard: `ban` drops every packet from a proven offender, `shun` new connections "
            "from a source whose evidence could be forged, `egress` what the node sends to a banned destination.",
            "Banned sources keep sending. `egress`: something on the node or in a pod calls a banned destination.",
            "Nothing for `ban` and `shun`. For `egress` find the pod or process: `nodewarden why ADDRESS`.",
        ),
        "pps",
        known.stopped_packets(),
    )


def _bans() -> Panel:
    return steps(
        "Bans in force",
        About(
            "Bans by strength of evidence. `observed` bans are recorded but not enforced.",
            "More offenders. A steep rise is a botnet, or a threshold that ordinary users cross.",
            "`nodewarden list --sort since` shows the newest; `nodewarden unban ADDRESS` ends a wrong one.",
        ),
        "short",
        known.bans(),
    )


def _cost() -> tuple[Row, ...]:
    return (
        row(
            "Other drops, and cost",
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
            "All packets that the kernel drops on the node and in its pods, including those dropped by the guard, by "
            "the most frequent reasons.",
            "An attack, a firewall rule, or a resource shortage on the node: the reason tells which.",
            "Open *Drops*.",
        ),
        "pps",
        Query(q.frequent("nodewarden_kernel_dropped_packets_total", "reason", 8), "{{reason}}"),
    )


def _table() -> Panel:
    return lines(
        "Connection table usage",
        About(
            "Share of the kernel's connection table that is in use, on the ten fullest nodes.",
            "Many connections, or a flood of half-open ones. At 100 % the kernel drops every new connection.",
            "Raise `net.netfilter.nf_conntrack_max`; *Traffic* shows who opens the connections.",
        ),
        "percentunit",
        Query(q.highest(q.CONNTRACK_USE), "{{instance}}"),
        limit=0.9,
    )


def _processor() -> Panel:
    return lines(
        "CPU time of the guard",
        About(
            "CPU time of the guard on the ten nodes where it is highest; 100 % is one core.",
            "The guard has more to read: a flood, or a fast-growing log.",
            "See which source delivers most in *Guard health*; rate-limit the firewall's log rule if it is the kernel "
            "log.",
        ),
        "percentunit",
        Query(q.highest(q.over("rate", "process_cpu_seconds_total")), "{{instance}}"),
    )


def _memory() -> Panel:
    return lines(
        "Memory of the guard",
        About(
            "Resident memory of the guard on the ten nodes where it is highest. All its tables are bounded.",
            "More sources or bans to remember. A rise that never stops is a leak.",
            "See *Guard health*; report a leak with the output of `nodewarden status --json`.",
        ),
        "bytes",
        Query(q.highest(q.select("process_resident_memory_bytes")), "{{instance}}"),
    )
