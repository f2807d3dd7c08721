"""Who: sources, destinations, services and pods by name, from exemplars and from the daemon's log."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import board, row, variable
from dashboards.log_panels import log_lines, top
from dashboards.panels import About, bars
from dashboards.queries import Query
from dashboards.tables import Key

_CHOSEN = 'detector=~"$detector"'
_DOTS = "A dot is one of them; point at it for network, service and pod."


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "who",
        "Who",
        "Who attacks what: networks, destinations, services and pods by name, and the lines of the log.",
        row("", 8, _alerts(), _decisions()),
        row("From the log, in the time range shown (needs Loki)", 10, _networks(), _destinations()),
        row("", 8, _services(), _pods()),
        row("", 14, _lines()),
        more=[
            variable("detector", "Detector", q.select("nodewarden_detector_maxretry")),
            build.DatasourceVariable("loki").label("Logs").type("loki"),
            build.TextBoxVariable("search").label("Search").default_value(""),
        ],
    )


def _alerts() -> Panel:
    return bars(
        "Alerts, with an example of each",
        About(
            f"Thresholds crossed, by detector. {_DOTS}",
            "Sources show what the detector looks for.",
            "Run `nodewarden why ADDRESS` with the address of a dot. There are none unless Prometheus keeps exemplars "
            "(operations.md).",
        ),
        "short",
        Query(q.events("nodewarden_detector_alerts_total", _CHOSEN, by="detector"), "{{detector}}"),
        examples=q.examples("nodewarden_detector_alerts_total", _CHOSEN),
    )


def _decisions() -> Panel:
    return bars(
        "Decisions, with an example of each",
        About(
            f"Decisions, by verdict. {_DOTS}",
            "`ban`: a source was banned. `observe`: it would have been. `allowlisted`: it is on the allowlist.",
            "Point at a dot; `nodewarden unban ADDRESS` ends a ban that is wrong.",
        ),
        "short",
        known.verdicts(_CHOSEN),
        examples=q.examples("nodewarden_decisions_total", _CHOSEN),
    )


def _networks() -> Panel:
    return top(
        "Top networks",
        About(
            "Networks with most decisions. In a burst, decisions beyond twenty a second share a line, which this table "
            "cannot take apart: *Lines* finds them.",
            "The same source comes again, or several detectors see it.",
            "Click a network for its lines; `nodewarden why ADDRESS` has its history.",
        ),
        (Key("network", "Network", 0), Key("detector", "Detector", 130)),
    )


def _destinations() -> Panel:
    return top(
        "Top destinations",
        About(
            "Addresses that were attacked last before a decision, after destination NAT; for `egress` those called.",
            "Attackers concentrate on one address.",
            "Check what runs there, and whether it must be reachable.",
        ),
        (Key("destination", "Destination", 0), Key("node", "Node", 130)),
    )


def _services() -> Panel:
    return top(
        "Top services",
        About(
            "Services that were attacked last before a decision: protocol and port, or the detector of a log.",
            "Attackers concentrate on one service.",
            "Update it, or limit who may reach it.",
        ),
        (Key("service", "Service", 0), Key("detector", "Detector", 130)),
    )


def _pods() -> Panel:
    return top(
        "Top pods",
        About(
            "Pods that were attacked, or that called out (`egress`, `outbound_scan`).",
            "Attackers concentrate on one workload, or a pod is compromised.",
            "Click a pod for its lines; for `egress` look into the pod first.",
        ),
        (Key("pod", "Pod", 0), Key("detector", "Detector", 130)),
    )


def _lines() -> Panel:
    return log_lines(
        "Lines",
        About(
            "The log of the daemon, the newest first, at most 500 lines: those with the text in the field Search at "
            "the top. Lines of a burst name up to a hundred networks.",
            "More is decided, or more bans end.",
            "Open a line for its fields.",
        ),
    )
