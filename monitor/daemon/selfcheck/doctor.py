"""The self-check: at start for the log, and by command."""

import logging
from typing import Any

from monitor.daemon.selfcheck.probes import Facts, gather
from monitor.daemon.selfcheck.requirements import Part, examine, is_sound
from monitor.daemon.sources.log_filters import LogFilters
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)


def check(settings: Settings, filters: LogFilters, *, is_daemon: bool) -> dict[str, Any]:
    """Return the whole finding as plain data; `is_daemon`: this process is the one that serves."""
    facts = gather(settings, filters, serves_metrics=is_daemon)
    parts = examine(settings, facts)
    shown = [_show(one) for one in parts]
    return {"is_sound": is_sound(parts), "is_daemon": is_daemon, **_whose(facts), "parts": shown}


def log_check(settings: Settings, filters: LogFilters) -> None:
    """Write into the log, before anything is opened, what this machine and sandbox allow and what is missing."""
    facts = gather(settings, filters, serves_metrics=False)
    parts = examine(settings, facts)
    states = ", ".join(f"{one.name} {one.state}" for one in parts if one.state != "off")
    _log.info("self-check as %s: %s", facts.account, states)
    for one in parts:
        for need in one.needs:
            if one.state == "missing" and need.missing:
                _log.warning("%s needs %s: %s; to mend it: %s", one.name, need.what, need.missing, need.mend)


def _whose(facts: Facts) -> dict[str, Any]:
    return {
        "account": facts.account,
        "kernel": facts.kernel,
        "is_sandboxed": facts.is_sandboxed,
        "capabilities": sorted(facts.capabilities),
    }


def _show(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "kind": part.kind,
        "state": part.state,
        "needs": [
            {"what": need.what, "missing": need.missing, "mend": need.mend if need.missing else ""}
            for need in part.needs
        ],
    }
