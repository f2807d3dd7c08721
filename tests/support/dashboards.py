"""The committed dashboards as people's Grafana reads them: panels and queries, variables filled in as Grafana does."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = Path(__file__).parents[2] / "dashboards/json"
NAMES = sorted(path.stem for path in JSON.glob("*.json"))


@dataclass(frozen=True)
class Asked:
    """A query of a dashboard, and where it stands; `panel` is a panel's title, a variable's or a mark's name."""

    dashboard: str
    panel: str
    expression: str
    legend: str
    is_instant: bool


def load(name: str) -> dict[str, Any]:
    """Read a dashboard."""
    loaded: dict[str, Any] = json.loads((JSON / f"{name}.json").read_text())
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something, rows left out."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(name: str) -> Iterator[Asked]:
    """Yield every query of a dashboard's panels and marks."""
    dashboard = load(name)
    for panel in panels(dashboard):
        for target in panel["targets"]:
            is_instant = bool(target.get("instant"))
            yield Asked(name, panel["title"], target["expr"], target.get("legendFormat", ""), is_instant)
    for mark in (one for one in dashboard["annotations"]["list"] if not one["builtIn"]):
        yield Asked(name, f"mark: {mark['name']}", mark["expr"], mark["titleFormat"] + mark["textFormat"], False)


def filled(text: str, span: str = "1h", rate_interval: str = "1m") -> str:
    """Fill in the variables: all nodes, a span of time."""
    values = {"__range": span, "__rate_interval": rate_interval}
    return re.sub(r"\$\{?([a-z_]\w*)\}?", lambda found: values.get(found[1], ".+" if found[1] == "job" else ".*"), text)
