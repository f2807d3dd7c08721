"""What an audit needs to know of nodewarden: its settings, and the problems that its daemon reports."""

from typing import Any

from monitor.audit.own import Own
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import Status
from monitor.settings.schema import Settings

_MAX_PROBLEMS = 64


def gather_own(settings: Settings, target: Target) -> Own:
    """Return what is audited of nodewarden itself; a daemon that does not answer counts as one that does not run."""
    answer = _status(target.configured(settings.control.socket))
    kinds = answer.get("problem_kinds", ()) if isinstance(answer, dict) else ()
    approved = settings.detectors.egress.approved
    return Own(
        egress_approved=len(approved) or None,
        fleet_url=settings.fleet.url,
        fleet_user=settings.fleet.username,
        is_running=answer is not None,
        problems=tuple(str(kind)[:64] for kind in list(kinds)[:_MAX_PROBLEMS]),
    )


def _status(target: Target) -> Any:
    try:
        return target.ask(Status())
    except (DaemonUnreachable, RequestRefused):
        return None
