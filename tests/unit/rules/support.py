"""Rules under promtool: series written sample by sample, what is expected of them, and what promtool says."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[3] / "dashboards/rules"
FILES = ("signals.yaml", "bands.yaml", "aggregates.yaml", "alerts.yaml")
NODE = 'cluster="default",job="nodewarden",instance="node1:9843"'
"""The labels of the node that most tests are about."""


def series(name: str, labels: str = "", *, node: str = NODE) -> str:
    """Return how PromQL writes a series of a node."""
    return f"{name}{{{node}{',' if labels else ''}{labels}}}"


def run(
    directory: Path,
    inputs: Mapping[str, str],
    *,
    alerts: Sequence[Mapping[str, Any]] = (),
    expressions: Sequence[Mapping[str, Any]] = (),
    files: Sequence[str] = ("signals.yaml", "alerts.yaml"),
    interval: str = "1m",
) -> None:
    """Have promtool evaluate the rules over these series, one evaluation a minute; AssertionError with what it says.

    Bands need hours: a test that is about them writes them itself.
    """
    case = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "alert_rule_test": list(alerts),
        "promql_expr_test": list(expressions),
    }
    document = {
        "rule_files": [str(RULES / name) for name in files],
        "evaluation_interval": interval,
        "group_eval_order": [
            group["name"] for group in groups() if group["file"] not in ("bands.yaml", "aggregates.yaml")
        ],
        "tests": [case],
    }
    path = directory / "test.yaml"
    path.write_text(json.dumps(document))  # which is YAML, too
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def groups() -> list[dict[str, Any]]:
    """Return every group of every file, and in `file` which it is in."""
    return [group | {"file": name} for name in FILES for group in yaml.safe_load((RULES / name).read_text())["groups"]]


def rules() -> list[dict[str, Any]]:
    """Return every rule of every file."""
    return [rule for group in groups() for rule in group["rules"]]
