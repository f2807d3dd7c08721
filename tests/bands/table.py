"""The table of figures in docs/dashboards.md: how it is written, and from which rules it is."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.bands.measure import RULES, Figures

PAGE = Path(__file__).parents[2] / "docs/dashboards.md"
_MATTERS = ("record", "expr", "labels", "for", "keep_firing_for")
_BEGIN, _END = "<!-- made by make bands from the rules ", "<!-- end of what make bands makes -->"


def text_of(figures: Sequence[Figures]) -> str:
    """Return the table in Markdown: first what raises alerts without an attack, then attacks."""
    quiet = [f"| {one.node.name} | {one.alerts_a_week:.1f} |" for one in figures if not one.node.attacks]
    attacked = [
        f"| {one.node.name} | {one.found} of {len(one.node.attacks)} | {one.after_min:.1f} |"
        for one in figures
        if one.node.attacks
    ]
    return "\n".join(
        (
            f"{_BEGIN}{digest()} -->",
            "",
            "| no attack, but | alerts a week |",
            "| --- | --- |",
            *quiet,
            "",
            "| attack | found | after minutes (mean) |",
            "| --- | --- | --- |",
            *attacked,
            "",
            _END,
        )
    )


def digest() -> str:
    """Return what stands for the recorded rules and the alert: another one means that figures may have changed."""
    rules = []
    for name in ("signals.yaml", "bands.yaml", "alerts.yaml"):
        for group in yaml.safe_load((RULES / name).read_text())["groups"]:
            rules += [{key: rule.get(key) for key in _MATTERS} for rule in group["rules"] if _is_measured(rule)]
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:12]


def _is_measured(rule: dict[str, Any]) -> bool:
    return rule.get("alert") == "NodewardenAnomaly" or "nodewarden_signal:" in rule.get("record", "")


def kept() -> str:
    """Return the table that the page has; ValueError if it has none."""
    found = re.search(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", PAGE.read_text(), re.DOTALL)
    if not found:
        raise ValueError(f"{PAGE} has no table of make bands")
    return found[0]


def keep(table: str) -> None:
    """Write the table into the page in place of the one that it has."""
    PAGE.write_text(PAGE.read_text().replace(kept(), table))


def rows(table: str) -> dict[str, list[str]]:
    """Return the cells of each row by its name."""
    lines = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| "))
    return {name: cells for name, *cells in lines if not name.startswith("---")}
