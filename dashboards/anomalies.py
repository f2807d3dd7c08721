"""Anomalies: each watched signal with its usual band, and when it left it."""

from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import address, board, row
from dashboards.panels import GOOD, NONE_IS_GOOD, WARN, About, bars, curve, finished_curve, lines, properties
from dashboards.queries import Query
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_SIGNAL, _ANOMALY = "instance:nodewarden_signal:last2m", "instance:nodewarden_signal:anomaly"
_LOWER, _UPPER = "instance:nodewarden_signal:lower", "instance:nodewarden_signal:upper"
_NOW, _LEAST, _MOST, _OUTSIDE = "now", "usually at least", "usually at most", "unusual"
_BY = "cluster, instance, signal"
_ROWS = 60
"""Rows of the table: all signals of ten nodes."""
_BANDS = (("1", "median"), ("2", "day"), ("3", "week"))
"""Which band is in force, as `bands.yaml` numbers them."""


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "anomalies",
        "Anomalies",
        "Deviations from other days: each signal with its usual band, shaded yellow while a node is outside of it.",
        row("Nodes and times", 9, _table(), _count(), widths=(15, 9)),
        row("Of many nodes, the ten signals highest in their bands", 8, _worst()),
        row("Signals, summed over the selected nodes", 8, _bans(), _alerts()),
        row("", 8, _drops(), _stopped()),
        row("", 8, _flows(), _conntrack()),
        span="now-24h",
    )


def _table() -> Panel:
    ratio = f"{q.most(q.select(_SIGNAL), _BY)} / ({q.most(q.select(_UPPER), _BY)} > 0)"
    worst = f"topk({_ROWS}, {ratio})"

    def of(metric: str) -> str:
        return f"{q.most(q.select(metric), _BY)} and on ({_BY}) {worst}"

    return grid(
        "Signals now",
        About(
            f"The {_ROWS} signals that are highest compared with their usual band; *Times* is the value as a multiple "
            "of the upper edge. *Band*: from the last seven days (week), from the last day while the week is young "
            "(day), or the median of the last day.",
            "*Times* above 1: the node has more of it than usual. *Unusual*: the rules report an anomaly.",
            "Click a node to select it, then read its signal below. *Drops*, *Detectors and thresholds* and *Traffic* "
            "show the details.",
        ),
        (CLUSTER, NODE, Key("signal", "Signal", 95)),
        (
            Column("Unusual", of(_ANOMALY), steps=NONE_IS_GOOD, words=(("0", "no"), ("1", "YES"))),
            Column("Times", worst, steps=((None, GOOD), (1, WARN)), decimals=2),
            Column("Now", of(_SIGNAL)),
            Column("From", of(_LOWER)),
            Column("To", of(_UPPER)),
            Column("Band", of("instance:nodewarden_signal:band"), words=_BANDS),
        ),
        sort_by="Times",
        link=("instance", address("anomalies", "var-cluster=${__data.fields.Cluster}", "var-instance=${__value.raw}")),
    )


def _count() -> Panel:
    return bars(
        "Nodes outside their band",
        About(
            "Number of selected nodes outside their usual band, by signal.",
            "Something changed. One node: an attack on it. Many at once: a botnet, a release, or an outage.",
            "Read the signal below; annotations show what else happened: bans, reloads, starts of the guard.",
        ),
        "short",
        Query(q.now(_ANOMALY, by="signal"), "{{signal}}"),
    )


def _worst() -> Panel:
    ratio = f"{q.most(q.select(_SIGNAL), _BY)} / ({q.most(q.select(_UPPER), _BY)} > 0)"
    return lines(
        "Signals as a multiple of their upper edge",
        About(
            "The ten signals of all selected nodes that are highest compared with their usual band at the end of the "
            "time shown. Above 1 a signal is outside of its own band, whatever the sums below look like.",
            "The node has more of it than usual.",
            "Select the node, then read its signal below.",
        ),
        "short",
        Query(f"{ratio} and on ({_BY}) topk(10, {ratio.replace('})', '} @ end())')})", "{{instance}} {{signal}}"),
        limit=1,
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
            "New bans per minute, including those that are only observed, with the usual band.",
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
            "Alerts of all detectors per minute, with the usual band.",
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
            "day.",
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
            "Packets of banned sources, with the usual band.",
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
            "Flows opened per second, with the usual band for this time of day.",
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
            "Share of the connection table in use, mean of the selected nodes, with the usual band for this time of "
            "day.",
            "Connections accumulate: a flood of half-open ones, or slow clients. When the table is full, every new "
            "connection is dropped.",
            "Raise `net.netfilter.nf_conntrack_max` if it nears 100 %; *Traffic* shows where connections come from.",
        ),
        is_share=True,
    )
