"""Reads the committed dashboards like Grafana: panels and queries, with variables replaced."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = Path(__file__).parents[2] / "dashboards/json"
NAMES = sorted(path.stem for path in JSON.glob("*.json"))


@dataclass(frozen=True)
class DashboardQuery:
    """A query of a dashboard; `panel` is the title of the panel, or the name of the variable or annotation."""

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
    """Return the panels without rows, those of folded rows as well."""
    everything = [one for top in dashboard["panels"] for one in (top, *top.get("panels", ()))]
    return [panel for panel in everything if panel["type"] != "row"]


def queries(name: str) -> Iterator[DashboardQuery]:
    """Yield every query to Prometheus of the panels and annotations of a dashboard."""
    dashboard = load(name)
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if target["datasource"]["type"] != "prometheus":
                continue
            is_instant = bool(target.get("instant"))
            yield DashboardQuery(name, panel["title"], target["expr"], target.get("legendFormat", ""), is_instant)
    for mark in (one for one in dashboard["annotations"]["list"] if not one["builtIn"]):
        text = mark["titleFormat"] + mark["textFormat"]
        yield DashboardQuery(name, f"mark: {mark['name']}", mark["expr"], text, False)


def log_queries(name: str) -> Iterator[DashboardQuery]:
    """Yield every query to Loki of the panels of a dashboard."""
    for panel in panels(load(name)):
        for target in panel["targets"]:
            if target["datasource"]["type"] == "loki":
                yield DashboardQuery(name, panel["title"], target["expr"], "", target["queryType"] == "instant")


def filled(text: str, span: str = "1h", rate_interval: str = "1m", step: str = "") -> str:
    """Replace the variables: all nodes, a time range, a step (as long as the window of rates, unless it is given)."""
    values = {"__range": span, "__rate_interval": rate_interval, "__interval": step or rate_interval}
    values["__interval_ms"] = "1000"
    return re.sub(
        r"\$\{?([a-z_]\w*)(?::raw)?\}?", lambda found: values.get(found[1], ".+" if found[1] == "job" else ".*"), text
    )
