"""Gathers the facts of an audit part by part: a part that fails is lacking, with the reason; the rest is gathered."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.baselines import make_baseline, read_baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.audit.host import Host
from monitor.audit.hosting.gathering import gather_host
from monitor.audit.kernel.gathering import gather_reach
from monitor.audit.own import Own
from monitor.audit.reach import Reach
from monitor.audit.report import Report
from monitor.audit.report_file import ReportError, read_report
from monitor.audit.rules.dump import dump_rules
from monitor.audit.rules.gathering import gather_ruleset
from monitor.audit.ruleset import Ruleset
from monitor.cli import show
from monitor.cli.audit_own import gather_own
from monitor.cli.target import Target
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.settings.schema import Settings

T = TypeVar("T")
_TITLES = {
    Part.RULESET: "reading the rules",
    Part.REACH: "sending packets through a copy of the firewall",
    Part.HOST: "reading processes and sysctls",
    Part.OWN: "asking nodewarden",
    Part.BASELINE: "reading the baseline",
}


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The facts, and the state of the node as a baseline keeps it."""

    facts: Facts
    state: Baseline


class Parts:
    """Calls what gathers a part, and notes why one is lacking."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.lacks: dict[Part, str] = {}

    def take(self, part: Part, make: Callable[[], T], fallback: T) -> T:
        """Return what `make` returns; `fallback` if it fails."""
        is_shown = sys.stderr.isatty()
        if is_shown:
            show.progress(f"{_TITLES[part]} ...")
        try:
            return make()
        except (ValueError, *SYSTEM_FAULTS) as error:
            self.lacks[part] = explain(error)[:2048]
            return fallback
        finally:
            if is_shown:
                show.progress("")


def gather(
    settings: Settings, baseline: Path | None, zones: tuple[Zone, ...], target: Target, now_s: float
) -> Gathered:
    """Gather all facts of this node; `baseline` takes the place of the configured one.

    ConfigError if that one cannot be read; one that is configured is then lacking.
    """
    accepted = Baseline() if baseline is None else read_baseline(baseline)
    parts = Parts()
    if baseline is None and settings.audit.baseline:
        configured = Path(settings.audit.baseline)
        accepted = parts.take(Part.BASELINE, lambda: read_baseline(configured), accepted)
    facts = Facts(
        ruleset=parts.take(Part.RULESET, lambda: gather_ruleset(dump_rules()), Ruleset()),
        reach=parts.take(Part.REACH, lambda: gather_reach(zones=zones), Reach()),
        host=parts.take(Part.HOST, gather_host, Host()),
        own=parts.take(Part.OWN, lambda: gather_own(settings, target), Own()),
        baseline=accepted,
        previous=_previous(settings.audit.report),
        lacks=parts.lacks,
        time_s=now_s,
    )
    return Gathered(facts=facts, state=make_baseline(facts, os.uname().nodename, zones))


def _previous(path: Path) -> Baseline:
    """Return the state that the last saved audit found; an empty one without."""
    try:
        return read_report(path, Report).state
    except (FileNotFoundError, ReportError):
        return Baseline()
