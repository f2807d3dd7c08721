"""Shadow thresholds: what detectors would find by other ones."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.detector_bans import CHOSEN
from dashboards.panels import About, bars
from dashboards.queries import Query
from dashboards.tables import Column, Key, grid

_ALERTS = "nodewarden_shadow_alerts_total"
_SOURCES = "nodewarden_shadow_sources_total"
_KNOWN = "nodewarden_shadow_maxretry"


def shadow_thresholds() -> tuple[Row, ...]:
    """Return the row that `Detectors and thresholds` shows of them."""
    return (
        row("Shadow thresholds: counted, never banned", 8, _compared(), _over_time(), widths=(15, 9), is_folded=True),
    )


def _compared() -> Panel:
    name = "detector"
    return grid(
        "Shadow compared with the real thresholds",
        About(
            "Detectors with `shadow:` thresholds: what these and the real ones found in the time range shown.",
            "*Only shadow*: sources that the tried thresholds would ban in addition. *Only real*: sources that they "
            "would miss, or that a real ban keeps away from the shadow.",
            "`nodewarden status --json` names the last of both. Put the thresholds in force with `nodewarden apply`.",
        ),
        (Key("detector", "Detector", 150),),
        (
            Column("maxretry", q.most(q.select("nodewarden_shadow_maxretry", CHOSEN), name), decimals=0),
            Column("findtime", q.most(q.select("nodewarden_shadow_findtime_seconds", CHOSEN), name), "s"),
            Column("Alerts", q.during_by_detector(_ALERTS, CHOSEN, known=_KNOWN), decimals=0),
            Column(
                "Only shadow", q.during_by_detector(_SOURCES, 'found_by="shadow"', CHOSEN, known=_KNOWN), decimals=0
            ),
            Column("Both", q.during_by_detector(_SOURCES, 'found_by="both"', CHOSEN, known=_KNOWN), decimals=0),
            Column("Only real", q.during_by_detector(_SOURCES, 'found_by="real"', CHOSEN, known=_KNOWN), decimals=0),
        ),
        sort_by="Only shadow",
    )


def _over_time() -> Panel:
    return bars(
        "Sources by who found them",
        About(
            "Sources found by the shadow, by the real detector, or by both; counted once both had time to find them.",
            "`shadow` alone: the tried thresholds are stricter than today's. `real` alone: they are more lenient.",
            "Check the sources that only the shadow found for your own systems before you apply its thresholds.",
        ),
        "short",
        Query(q.events(_SOURCES, CHOSEN, by="detector, found_by"), "{{detector}} ({{found_by}})"),
    )
