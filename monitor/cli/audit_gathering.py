"""Gathers the facts of an audit part by part: a part that fails is lacking, with the reason; the rest is gathered."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.cli import show
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
    """Gather all facts of this node; `baseline` takes the place of the configured one."""
    del settings, baseline, zones, target
    parts = Parts()
    for part in Part:
        parts.lacks[part] = f"{_TITLES[part]} is not possible in this version"
    facts = Facts(lacks=parts.lacks, time_s=now_s)
    return Gathered(facts=facts, state=Baseline(node=os.uname().nodename, time_s=now_s))
