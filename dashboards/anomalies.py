"""Anomalies: each watched signal with its usual band, and when it left it."""

from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import address, board, row
from dashboards.panels import GOOD, NONE_IS_GOOD, WARN, About, bars, curve, finished_curve, properties
from dashboards.queries import Query
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_SIGNAL, _ANOMALY = "nodewarden:signal", "nodewarden:signal:anomaly"
_LOWER, _UPPER = "nodewarden:signal:lower", "nodewarden:signal:upper"
_NOW, _LEAST, _MOST, _OUTSIDE = "now", "usually at least", "usually at most", "unusual"
_BY = "cluster, instance, signal"


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "anomalies",
        "Anomalies",
        "What is unlike other days: each signal with its usual band; yellow shade where a node is outside of it.",
        row("Where and when", 9, _table(), _count(), widths=(15, 9)),
        row("Signals of the chosen nodes, added up", 8, _bans(), _alerts()),
        row("", 8, _drops(), _stopped()),
        row("", 8, _flows(), _conntrack()),
        span="now-24h",
    )


def _table() -> Panel:
    ratio = f"{q.most(q.select(_SIGNAL), _BY)} / ({q.most(q.select(_UPPER), _BY)} > 0)"
    return grid(
        "Signals now",
        About(
            "Each signal of each node, its usual band, and how many times the upper edge it has now; 1 is the edge.",
            "in *Times* above 1, that this node has more of it than usual; *Unusual* that the rules call it an "
            "anomaly.",
            "click on a node to see it alone, then read its signal below. *Drops*, *Detectors and thresholds* and "
            "*Traffic* say what it is made of.",
        ),
        (CLUSTER, NODE, Key("signal", "Signal", 95)),
        (
            Column("Unusual", q.most(q.select(_ANOMALY), _BY), steps=NONE_IS_GOOD, words=(("0", "no"), ("1", "YES"))),
            Column("Times", ratio, steps=((None, GOOD), (1, WARN)), decimals=2),
            Column("Now", q.most(q.select(_SIGNAL), _BY)),
            Column("From", q.most(q.select(_LOWER), _BY)),
            Column("To", q.most(q.select(_UPPER), _BY)),
        ),
        sort_by="Times",
        link=("instance", address("anomalies", "var-cluster=${__data.fields.Cluster}", "var-instance=${__value.raw}")),
    )


def _count() -> Panel:
    return bars(
        "Nodes outside of their band",
        About(
            "How many of the chosen nodes are outside of their usual band, by signal.",
            "something new goes on: on one node an attack on it, on many at once a botnet, a release, or an outage.",
            "read the signal below; the marks tell what else happened then: bans, reloads, starts of the guard.",
        ),
        "short",
        Query(q.now(_ANOMALY, by="signal"), "{{signal}}"),
    )


def _band(title: str, signal: str, unit: str, about: About, *, is_share: bool = False) -> Panel:
    """Return a signal with its band filled, and shaded while any chosen node is outside of its own band."""
    matcher = f'signal="{signal}"'
    whole = "avg" if is_share else "sum"
    series = [
        Query(f"{whole}({q.select(_UPPER, matcher)})", _MOST),
        Query(f"{whole}({q.select(_LOWER, matcher)})", _LEAST),
        Query(f"{whole}({q.select(_SIGNAL, matcher)})", _NOW),
        Query(q.most(q.select(_ANOMALY, matcher)), _OUTSIDE),
    ]
    plain, hidden = (
        {"mode": "fixed", "fixedColor": "super-light-blue"},
        {"legend": True, "tooltip": False, "viz": False},
    )
    shade = properties(
        color={"mode": "fixed", "fixedColor": "yellow"},
        custom__fillOpacity=18,
        custom__lineWidth=0,
        custom__axisPlacement="hidden",
        custom__lineInterpolation="stepBefore",
        min=0,
        max=1,
        unit="bool_yes_no",
    )
    panel = (
        curve(unit)
        .fill_opacity(0)
        .line_interpolation(kinds.LineInterpolation.LINEAR)
        .override_by_name(
            _MOST, properties(color=plain, custom__lineWidth=0, custom__fillOpacity=14, custom__fillBelowTo=_LEAST)
        )
        .override_by_name(_LEAST, properties(color=plain, custom__lineWidth=0, custom__hideFrom=hidden))
        .override_by_name(_NOW, properties(color={"mode": "fixed", "fixedColor": "blue"}, custom__lineWidth=2))
        .override_by_name(_OUTSIDE, shade)
    )
    return finished_curve(panel, title, about, series)


def _bans() -> Panel:
    return _band(
        "New bans",
        "bans",
        "suffix:/min",
        About(
            "Bans that begin, by the minute, those of observing detectors included, within what is usual.",
            "more offenders than on other days, or a threshold that now hits ordinary users.",
            "`nodewarden list --sort since`: strangers from many networks are an attack, customers are a mistake.",
        ),
    )


def _alerts() -> Panel:
    return _band(
        "Alerts",
        "alerts",
        "suffix:/min",
        About(
            "How often detectors fire, by the minute, within what is usual.",
            "sources try more than usual; without new bans they are banned already, allowed, or only observed.",
            "open *Detectors and thresholds* and see which detector it is.",
        ),
    )


def _drops() -> Panel:
    return _band(
        "Packets dropped by the kernel",
        "drops",
        "pps",
        About(
            "Everything that the kernel drops on the nodes and in their pods, within what is usual at this time of "
            "day.",
            "a flood, a changed firewall rule, or a node that runs out of something.",
            "open *Drops*: the reason says which of them it is.",
        ),
    )


def _stopped() -> Panel:
    return _band(
        "Packets stopped by our sets",
        "stopped",
        "pps",
        About(
            "Packets of banned sources, within what is usual.",
            "those who are banned send more. That costs them and hardly us.",
            "nothing, unless the line is full. If it falls to nothing in an attack, see *Leaks* in *The guard itself*.",
        ),
    )


def _flows() -> Panel:
    return _band(
        "New flows",
        "flows",
        "cps",
        About(
            "Connections that begin, by the second, within what is usual at this time of day.",
            "more visitors, a flood of connections, or an application of yours that loops.",
            "open *Traffic*: direction and protocol tell whose they are.",
        ),
    )


def _conntrack() -> Panel:
    return _band(
        "Connection table in use",
        "conntrack",
        "percentunit",
        About(
            "Share of the connection table in use, on average of the chosen nodes, within what is usual at this time "
            "of day.",
            "connections pile up: a flood of half-open ones, or slow clients. When full, everybody's new ones drop.",
            "raise `net.netfilter.nf_conntrack_max` if it nears 100 %; see *Traffic* for where they come from.",
        ),
        is_share=True,
    )
