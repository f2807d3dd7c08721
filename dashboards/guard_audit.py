"""Guard health: what audits of the nodes found."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import NONE_IS_CALM, About, Value, card
from dashboards.tables import CLUSTER, NODE, Column, Key, grid

_SEVERITIES = {"Critical": "critical", "High": "high", "Medium": "medium", "Less": "low|info"}
_CHECK = Key("check", "Check", 160)


def audits() -> Row:
    """Return the row."""
    return row(
        "Audit of what is open (empty without reports)", 8, _findings(), _state(), widths=(18, 6), is_folded=True
    )


def _findings() -> Panel:
    return grid(
        "What audits found",
        About(
            "Findings of the last audit of each node that are not suppressed, by check and severity.",
            "Something can be reached or is configured as it should not be. A node that differs from all others was "
            "changed by hand.",
            "Run `nodewarden audit` on the node: it names the port or file, the rule that decides, and the remedy.",
        ),
        (CLUSTER, NODE, _CHECK),
        tuple(Column(name, _of(which), "short", decimals=0) for name, which in _SEVERITIES.items()),
        sort_by=(("Critical", True), ("High", True)),
        nothing="nothing fails, or no audit ran",
    )


def _of(severities: str) -> str:
    return q.add(q.select("nodewarden_audit_findings", f'severity=~"{severities}"'), by=f"{q.BY_NODE}, check")


def _state() -> Panel:
    return card(
        "Are audits complete?",
        About(
            "What the last audits could not judge, in all nodes; the age of the oldest report.",
            "What is unknown may be open. A report of more than three days is a problem in `nodewarden status`.",
            "Run `nodewarden audit` on the node: it says why something is unknown. See the alert NodewardenAuditStale.",
        ),
        Value("Not judged", q.now("nodewarden_audit_unknown"), "short", NONE_IS_CALM, 0),
        Value("Oldest report", q.most(f"time() - ({q.select('nodewarden_audit_time_seconds')} > 0)"), "s"),
    )
