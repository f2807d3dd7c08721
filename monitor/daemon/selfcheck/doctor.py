"""The self-check: at start for the log, and by command."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from monitor import native
from monitor.daemon.selfcheck.firewall import firewall_part, look_at_rules
from monitor.daemon.selfcheck.probes import Probed, probe
from monitor.daemon.selfcheck.requirements import examine, in_order, is_sound
from monitor.daemon.sources.log_filters import LogFilters
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.requirements import Part
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)


def check(
    settings: Settings,
    filters: LogFilters,
    slow_filters: Mapping[str, str] = MappingProxyType({}),
    *,
    is_daemon: bool,
    silent_logs: Mapping[str, str] = MappingProxyType({}),
    faults: Mapping[str, str] = MappingProxyType({}),
    filter_faults: Mapping[str, str] | None = None,
    known: Sequence[Part] = (),
) -> dict[str, Any]:
    """Return the whole finding as plain data; `is_daemon`: this process is the one that serves.

    `slow_filters` says which lines are skipped because a filter takes too long on them, by detector; `silent_logs`
    which logs may be the wrong ones; `faults` what is wrong with the table; `filter_faults` which detectors find
    nothing (default: what reading their filters found). `known` are parts that only a running daemon can judge.
    """
    lost = filters.faults if filter_faults is None else filter_faults
    probed = msgspec.structs.replace(
        probe(settings, filters, serves_metrics=is_daemon, is_owner=is_daemon),
        slow_filters=MappingProxyType(dict(slow_filters)),
        silent_logs=MappingProxyType(dict(silent_logs)),
        table="; it ".join(faults.values()),
        filter_faults=MappingProxyType({name: why for name, why in lost.items() if name not in filters.foreign}),
    )
    here = () if is_daemon else (_firewall(settings),)
    parts = in_order([*examine(settings, probed), *known, *here])
    shown = [_show(one) for one in parts]
    return {"is_sound": is_sound(parts), "is_daemon": is_daemon, **_process(probed), "parts": shown}


def _firewall(settings: Settings) -> Part:
    """Return what a running daemon finds in the background; nothing where the rules cannot be read."""
    is_wanted = settings.sources.kernel_log.enabled
    findings = []
    with contextlib.suppress(*SYSTEM_FAULTS):
        findings = look_at_rules(settings) if is_wanted else []
    return firewall_part(findings, is_wanted=is_wanted)


def log_check(settings: Settings, filters: LogFilters) -> None:
    """Write into the log, before anything is opened, what this machine and sandbox allow and what is missing."""
    probed = probe(settings, filters, serves_metrics=False, is_owner=True)
    parts = examine(settings, probed)
    states = ", ".join(f"{one.name} {one.state}" for one in parts if one.state != "off")
    _log.info("self-check as %s: %s", probed.privileges.account, states)
    for one in parts:
        for needed in one.requirements:
            if one.state == "missing" and needed.missing:
                _log.warning("%s needs %s: %s; to repair it: %s", one.name, needed.what, needed.missing, needed.repair)


def _process(probed: Probed) -> dict[str, Any]:
    privileges = probed.privileges
    return {
        "account": privileges.account,
        "kernel": probed.kernel,
        "is_sandboxed": privileges.is_sandboxed,
        "capabilities": sorted(privileges.capabilities),
        "nft_newest_writer": probed.writers.newest,
        "nft_crashing_set": probed.writers.crashing,
        "is_native": native.extension is not None,
        "why_not_native": native.why_not,
    }


def _show(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "kind": part.kind,
        "state": part.state,
        "requirements": [
            {"what": needed.what, "missing": needed.missing, "repair": needed.repair if needed.missing else ""}
            for needed in part.requirements
        ],
    }
