"""What each board costs a Prometheus with 500 nodes: the CPU time of all its queries, one after the other.

CPU time of the process, not time that passes: the figures are then the same on a machine that does something else.
"""

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bands.server import Server
from tests.fleet import node
from tests.fleet.blocks import multiply
from tests.support.dashboards import NAMES, filled, load

NODES = 500
END_S = 1_700_017_200
"""The time until which there are samples: no figure depends on it."""
_METRICS_S, _SIGNALS_S = 3 * 3600 + 900, 25 * 3600
_MARK_STEP_S = 60
_ROUND_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
"""Steps that Grafana rounds to: the next one below the middle of two."""


@dataclass(frozen=True)
class Asked:
    """A query of a board as Grafana sends it; `step_s` is 0 for one that asks for a moment only."""

    expression: str
    step_s: int
    is_folded: bool


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a board as it opens, of its costliest query, and of all its queries with every row open."""

    board: str
    queries: int
    opened_s: float
    costliest_s: float
    unfolded_s: float


def fleet(directory: Path) -> int:
    """Write the blocks of a fleet for a server in this directory; returns how many series there are."""
    data = directory / "data"
    texts = (node.metrics_text(END_S - _METRICS_S, END_S), node.signals_text(END_S - _SIGNALS_S, END_S))
    for text in texts:
        path = directory / "node.txt"
        path.write_text(text)
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(path), str(data)]
        subprocess.run(command, check=True, capture_output=True)
    names = [f"node-{number:03}" for number in range(NODES)]
    return max(multiply(block, "instance", names) for block in data.iterdir() if (block / "index").exists())


def measure(directory: Path) -> list[Cost]:
    """Return the cost of each board on a fleet that is written into a directory. OSError, ValueError."""
    fleet(directory)
    with Server(directory) as server:
        return [_cost(server, name) for name in NAMES]


def _cost(server: Server, name: str) -> Cost:
    board = load(name)
    span_s = int(board["time"]["from"].removeprefix("now-").removesuffix("h")) * 3600
    found = [(one, _cpu_of(server, one, span_s)) for one in asked(board, span_s)]
    opened = [cpu_s for one, cpu_s in found if not one.is_folded]
    return Cost(name, len(opened), sum(opened), max(opened), sum(cpu_s for _, cpu_s in found))


def _cpu_of(server: Server, one: Asked, span_s: int) -> float:
    before_s = server.cpu_s()
    server.over(one.expression, END_S - (span_s if one.step_s else 0), END_S, one.step_s or 1)
    return server.cpu_s() - before_s


def asked(board: dict[str, Any], span_s: int) -> Iterator[Asked]:
    """Yield every query of a board as Grafana sends it for a time range of this length."""
    for top in board["panels"]:
        for panel in top.get("panels") or [top]:
            least_s = 60 if panel.get("interval") == "1m" else node.SCRAPE_S
            step_s = max(least_s, _rounded(span_s / panel.get("maxDataPoints", 800)))
            for target in (one for one in panel.get("targets", ()) if one["datasource"]["type"] == "prometheus"):
                step = 0 if target.get("instant") else step_s
                yield Asked(_filled(target["expr"], span_s, step_s), step, bool(top.get("panels")))
    for mark in board["annotations"]["list"]:
        if mark["enable"] and mark.get("expr"):
            yield Asked(_filled(mark["expr"], span_s, _MARK_STEP_S), _MARK_STEP_S, is_folded=False)


def _filled(expression: str, span_s: int, step_s: int) -> str:
    return filled(expression, f"{span_s}s", f"{max(4 * node.SCRAPE_S, step_s + node.SCRAPE_S)}s", f"{step_s}s")


def _rounded(step_s: float) -> int:
    """Return the step that Grafana takes for one."""
    pairs = itertools.pairwise(_ROUND_S)
    return next((low for low, high in pairs if step_s < (low + high) / 2), _ROUND_S[-1])
