"""What `make boards-cost` measures with is what it says: a fleet of equal nodes, and every query of a board."""

import re
import subprocess
from pathlib import Path

import pytest

from monitor.daemon.catalogue import METRICS
from tests.fleet import cost, node
from tests.fleet.__main__ import PAGE, text_of
from tests.fleet.blocks import multiply
from tests.support.dashboards import NAMES, load, panels

_TEXT = f"""# TYPE a gauge
a{{instance="{node.NODE}",kind="x"}} 1 1700000000
a{{instance="{node.NODE}",kind="x"}} 2 1700000015
b_total{{instance="{node.NODE}"}} 7 1700000015
# EOF
"""


def test_each_node_of_a_fleet_has_the_samples_of_one(tmp_path: Path) -> None:
    """Prometheus reads every node's series from the block that was written for one."""
    text = tmp_path / "node.txt"
    text.write_text(_TEXT)
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", text, tmp_path / "data"], check=True)
    (block,) = (path.parent for path in (tmp_path / "data").glob("*/index"))
    assert multiply(block, "instance", ["n1", "n2", "n3"]) == 6
    (tmp_path / "data/wal").mkdir()  # without it promtool reads nothing
    dump = ["promtool", "tsdb", "dump", str(tmp_path / "data")]
    written = subprocess.run(dump, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(written) == 9
    assert all(sum(f'"{name}"' in line for line in written) == 3 for name in ("n1", "n2", "n3"))
    assert '{__name__="a", instance="n2", kind="x"} 2 1700000015000' in written


def test_a_node_has_every_metric() -> None:
    """The text of a node has a sample of each metric there is: a new label needs values in label_values.py."""
    names = {re.split(r"[{ ]", line)[0] for line in node.metrics_text(0, 15).splitlines()}
    for metric in METRICS:
        assert {metric.name, f"{metric.name}_bucket"} & names


@pytest.mark.parametrize("name", NAMES)
def test_every_query_of_a_board_is_measured(name: str) -> None:
    """Those of panels, open or folded, and of the marks that are on."""
    board = load(name)
    targets = sum(len(one["targets"]) for one in panels(board) if one["datasource"]["type"] == "prometheus")
    marks = sum(bool(mark["enable"] and mark.get("expr")) for mark in board["annotations"]["list"])
    asked = list(cost.asked(board, 3600))
    assert len(asked) == targets + marks
    assert all("$" not in one.expression for one in asked)


def test_the_page_has_figures_of_boards() -> None:
    """docs/dashboards.md has the table as `make boards-cost` writes it, of boards that there are."""
    page = PAGE.read_text()
    begin, *head, _, _, end = text_of([cost.Cost("x", 1, 0.5, 0.5, 0.5)]).splitlines()
    kept = page[page.index(begin) : page.index(end)]
    assert "\n".join(head[:3]) in kept
    measured = re.findall(r"^\| (\w+) \| \d+ \|", kept, re.MULTILINE)
    assert measured
    assert set(measured) <= set(NAMES)
