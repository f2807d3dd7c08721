"""Anomalies: each watched signal with its usual band, and when it left it."""

from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.aggregates import EDGE_RATIO, OUTSIDE
from dashboards.board import address, board, row
from dashboards.panels import (
    BAD,
    CALM,
    GOOD,
    NONE_IS_CALM,
    WARN,
    WATCH,
    About,
    Value,
    card,
    curve,
    finished_curve,
    lines,
    properties,
)
from dashboards.queries import Query
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_SIGNAL, _ANOMALY = "instance:nodewarden_signal:last2m", "instance:nodewarden_signal:anomaly"
_LOWER, _UPPER = "instance:nodewarden_signal:lower", "instance:nodewarden_signal:upper"
_NOW, _LEAST, _MOST, _OUTSIDE = "now", "usually at least", "usually at most", "unusual"
_NODE, _EDGE = "{{instance}}: times its edge", "upper edge"
_BY = "cluster, instance, signal"
_ROWS = 60
"""Rows of the table at most."""
_WORST = 10
"""Nodes in the panel of a signal."""
_BAND_COLOUR = "super-light-blue"
_BANDS = (("1", "median"), ("2", "day"), ("3", "week"))
"""Which band is in force, as `bands.yaml` numbers them."""
_SHARE_OF_NODES = ((None, GOOD), (1e-9, WATCH), (0.1, WARN), (0.3, BAD))
"""One node of many is watched; a third of them is an incident of the fleet."""
_NODES = f"count({q.counted_nodes()})"
_CHOSEN_NODE = 'instance="${instance:raw}"'
"""Matches only if a single node is chosen: what stands for all or several is no node's name, and costs nothing."""
_MANY = (
    " Unless one node is chosen: the ten that are highest compared with their band at the end of the time shown, each "
    "as a multiple of its own upper edge, from half of it on."
)


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "anomalies",
        "Anomalies",
        "Deviations from other days: each signal with its usual band, shaded yellow while a node is outside of it.",
        row("", 8, _card(), _table(), widths=(7, 17)),
        row("", 6, _share()),
        row("Signals: the band of a single node, or the ten nodes highest in their bands", 8, _bans(), _alerts()),
        row("", 8, _drops(), _stopped()),
        row("", 8, _flows(), _conntrack()),
        span="now-24h",
    )


def _card() -> Panel:
    unusual = q.most(q.select(OUTSIDE), q.BY_NODE)
    without = f"{q.add(f'0 * {q.select(_SIGNAL)} + 1')} - count({q.select(_UPPER)})"
    return card(
        "Are signals usual?",
        About(
            "Signals outside their usual band now (`-`: there are no bands), the share of nodes with such a signal, "
            "signals that have no band yet, and the time since the last flood or signal above its band.",
            "Many nodes at once: a botnet, a release, or an outage. Without bands nothing is ever unusual: they need "
            "an hour and a half of scrapes, and the rules.",
            "Read *Signals outside their band*. Where bands are missing for longer, see whether Prometheus evaluates "
            "`bands.yaml`.",
        ),
        Value("Unusual signals", q.OUTSIDE, steps=NONE_IS_CALM, decimals=0),
        Value("Share of nodes", q.or_none(f"count({unusual}) / {_NODES}"), "percentunit", _SHARE_OF_NODES, 0),
        Value("Signals without band", without, steps=((None, GOOD), (1, WARN)), decimals=0),
        Value("Since last attack", q.LAST_ATTACK_S, "s", ((None, BAD), (120, WATCH), (3600, GOOD)), 0),
    )


def _table() -> Panel:
    unusual = f"on ({_BY}) {q.most(q.select(OUTSIDE), _BY)}"
    ratio = q.most(q.select(EDGE_RATIO), _BY)

    def of(metric: str) -> str:
        return f"topk({_ROWS}, {q.most(q.select(metric), _BY)} and {unusual})"

    return grid(
        "Signals outside their band",
        About(
            f"Signals that are outside their usual band now, at most {_ROWS}; *Times* is the value as a multiple of "
            "the upper edge. *Band*: from the last seven days (week), from the last day while the week is young "
            "(day), or the median of the last day.",
            "*Times* above 1: the node has more of it than usual. Below 1: less than ever at this hour.",
            "Click a node to select it, then read its signal below. *Drops*, *Detectors and thresholds* and *Traffic* "
            "show the details.",
        ),
        (CLUSTER, NODE, Key("signal", "Signal", 90)),
        (
            Column("Times", f"topk({_ROWS}, {ratio} and {unusual})", steps=((None, CALM), (1, WARN)), decimals=2),
            Column("Now", of(_SIGNAL)),
            Column("From", of(_LOWER)),
            Column("To", of(_UPPER)),
            Column("Band", of("instance:nodewarden_signal:band"), words=_BANDS),
        ),
        sort_by="Times",
        link=("instance", address("anomalies", "var-cluster=${__data.fields.Cluster}", "var-instance=${__value.raw}")),
        nothing="no signal is outside its band",
    )


def _share() -> Panel:
    return lines(
        "Share of nodes outside their band",
        About(
            "Share of the selected nodes that are outside their usual band, by signal.",
            "Something changed. One node: an attack on it. Many at once: a botnet, a release, or an outage.",
            "Read the signal below; annotations show what else happened: reloads, starts of the guard.",
        ),
        "percentunit",
        Query(f"{q.now(OUTSIDE, by='signal')} / on () group_left () {_NODES}", "{{signal}}"),
        nothing="no signal was outside its band",
    )


def _band(title: str, signal: str, unit: str, about: About) -> Panel:
    """Return a signal with its band filled, and shaded while the node is outside; of several nodes the worst ten."""
    matcher = f'signal="{signal}"'

    def of(metric: str) -> str:
        return q.select(metric, matcher, _CHOSEN_NODE)

    ratio = q.select(EDGE_RATIO, matcher)
    unless_one = f"unless on () group({q.select('up', _CHOSEN_NODE)})"
    series = [
        Query(of(_UPPER), _MOST, _BAND_COLOUR),
        Query(of(_LOWER), _LEAST, _BAND_COLOUR),
        Query(of(_SIGNAL), _NOW, CALM),
        Query(of(_ANOMALY), _OUTSIDE, WATCH),
        Query(f"{ratio} and topk({_WORST}, {ratio} @ end()) {unless_one}", _NODE),
        Query(f"vector(1) {unless_one}", _EDGE, BAD),
    ]
    hidden = {"legend": True, "tooltip": False, "viz": False}
    shade = properties(
        custom__fillOpacity=18,
        custom__lineWidth=0,
        custom__axisPlacement="hidden",
        custom__lineInterpolation="stepBefore",
        min=0,
        max=1,
        unit="bool_yes_no",
    )
    dashes = {"fill": "dash", "dash": [8, 8]}
    panel = (
        curve(unit)
        .fill_opacity(0)
        .line_interpolation(kinds.LineInterpolation.LINEAR)
        .override_by_name(_MOST, properties(custom__lineWidth=0, custom__fillOpacity=14, custom__fillBelowTo=_LEAST))
        .override_by_name(_LEAST, properties(custom__lineWidth=0, custom__hideFrom=hidden))
        .override_by_name(_NOW, properties(custom__lineWidth=2))
        .override_by_name(_OUTSIDE, shade)
        .override_by_regexp("/: times its edge$/", properties(unit="suffix:x", decimals=1))
        .override_by_name(_EDGE, properties(custom__lineStyle=dashes, unit="suffix:x", decimals=1))
    )
    return finished_curve(panel, title, about, series)


def _bans() -> Panel:
    return _band(
        "New bans",
        "bans",
        "suffix:/min",
        About(
            "New bans per minute, including those that are only observed, with the usual band." + _MANY,
            "More offenders than on other days, or a threshold that ordinary users now cross.",
            "Run `nodewarden list --sort since`: strangers from many networks are an attack, customers are a mistake.",
        ),
    )


def _alerts() -> Panel:
    return _band(
        "Alerts",
        "alerts",
        "suffix:/min",
        About(
            "Alerts of all detectors per minute, with the usual band." + _MANY,
            "Sources are more active than usual. Without new bans they are already banned, allowlisted, or only "
            "observed.",
            "Open *Detectors and thresholds* to see which detector it is.",
        ),
    )


def _drops() -> Panel:
    return _band(
        "Packets dropped by the kernel",
        "drops",
        "pps",
        About(
            "All packets that the kernel drops on the nodes and in their pods, with the usual band for this time of "
            "day." + _MANY,
            "A flood, a changed firewall rule, or a resource shortage on a node.",
            "Open *Drops*: the reason tells which.",
        ),
    )


def _stopped() -> Panel:
    return _band(
        "Packets stopped by the guard",
        "stopped",
        "pps",
        About(
            "Packets of banned sources, with the usual band." + _MANY,
            "Banned sources send more. This costs the node little.",
            "Nothing, unless the link is saturated. If it falls to zero during an attack, see *Leaks* in *Guard "
            "health*.",
        ),
    )


def _flows() -> Panel:
    return _band(
        "New flows",
        "flows",
        "cps",
        About(
            "Flows opened per second, with the usual band for this time of day." + _MANY,
            "More visitors, a flood of connections, or an application in a loop.",
            "Open *Traffic*: direction and protocol show the origin.",
        ),
    )


def _conntrack() -> Panel:
    return _band(
        "Connection table usage",
        "conntrack",
        "percentunit",
        About(
            "Share of the connection table in use, with the usual band for this time of day." + _MANY,
            "Connections accumulate: a flood of half-open ones, or slow clients. When the table is full, every new "
            "connection is dropped.",
            "Raise `net.netfilter.nf_conntrack_max` if it nears 100 %; *Traffic* shows where connections come from.",
        ),
    )
