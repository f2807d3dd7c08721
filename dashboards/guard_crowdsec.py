"""What is exchanged with CrowdSec."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, bars, steps
from dashboards.queries import Query


def exchange() -> tuple[Row, ...]:
    """Return the row that `Guard health` shows of it."""
    return (row("CrowdSec (empty without it)", 7, _held(), _pulled(), _pushed(), _failed(), is_folded=True),)


def _held() -> Panel:
    return steps(
        "Decisions of CrowdSec",
        About(
            "Decisions of CrowdSec's LAPI that nodes hold, and bans that wait to be pushed to it, over all nodes.",
            "A fall to 0: LAPI has no decisions any more, or its database was wiped. `waiting` that grows: LAPI does "
            "not take alerts.",
            "Run `cscli decisions list` there; `nodewarden status` on a node names what fails.",
        ),
        "short",
        (
            Query(q.now("nodewarden_crowdsec_decisions"), "held"),
            Query(q.now("nodewarden_crowdsec_push_waiting"), "waiting"),
        ),
    )


def _pulled() -> Panel:
    return bars(
        "What became of CrowdSec's decisions",
        About(
            "Decisions that LAPI sent, by what became of them. What is refused is counted again with each complete "
            "answer, which is read hourly.",
            "`allowlisted`: LAPI bans what a node must not ban. `surplus`, `full`: there is no room for all. `wide`: a "
            "range larger than allowed.",
            "`nodewarden events` names them. Correct LAPI's profiles, or raise `crowdsec.max_decisions`.",
        ),
        "short",
        Query(q.events("nodewarden_crowdsec_pulled_total", by="outcome"), "{{outcome}}"),
    )


def _pushed() -> Panel:
    return bars(
        "Bans pushed to CrowdSec",
        About(
            "Bans that LAPI took, bans that were withdrawn there, and bans and unbans that were never pushed.",
            "`dropped`: too much waited, or LAPI refused an unban; its bouncers miss these.",
            "`nodewarden status` names what keeps LAPI from taking them.",
        ),
        "short",
        (
            Query(q.events("nodewarden_crowdsec_pushed_total", by="action"), "{{action}}"),
            Query(q.events("nodewarden_crowdsec_push_dropped_total"), "dropped"),
        ),
    )


def _failed() -> Panel:
    return bars(
        "Failed exchanges with CrowdSec",
        About(
            "Failed requests to LAPI, by cause.",
            "Nothing new comes from LAPI, or goes to it. Bans in force stay until their end.",
            "`nodewarden status` says what LAPI answered; docs/crowdsec.md says what to do.",
        ),
        "short",
        Query(q.events("nodewarden_crowdsec_failures_total", by="cause"), "{{cause}}"),
    )
