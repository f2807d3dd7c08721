"""Rules under promtool: series written sample by sample, what is expected of them, and what promtool says."""

import functools
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
    alert: str = "",
    interval: str = "1m",
) -> None:
    """Have promtool evaluate the rules over these series, one evaluation a minute; AssertionError with what it says.

    Bands need hours: a test that is about them writes them itself. A test of one `alert` has no other alerts evaluated,
    which would take most of the time.
    """
    used = [_only(group, alert) for group in groups() if group["file"] in files]
    rules_path = directory / "rules.yaml"
    rules_path.write_text(json.dumps({"groups": [group for group in used if group["rules"]]}))  # which is YAML, too
    case = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "alert_rule_test": list(alerts),
        "promql_expr_test": list(expressions),
    }
    document = {
        "rule_files": [str(rules_path)],
        "evaluation_interval": interval,
        "group_eval_order": [group["name"] for group in used if group["rules"]],
        "tests": [case],
    }
    path = directory / "test.yaml"
    path.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _only(group: Mapping[str, Any], alert: str) -> dict[str, Any]:
    """Return a group as Prometheus reads it, without other alerts than this, if it is given."""
    rules = [rule for rule in group["rules"] if not alert or rule.get("alert", alert) == alert]
    return {key: value for key, value in group.items() if key != "file"} | {"rules": rules}


@functools.cache
def groups() -> list[dict[str, Any]]:
    """Return every group of every file, and in `file` which it is in."""
    files = {name: yaml.load((RULES / name).read_text(), Loader=yaml.CSafeLoader) for name in FILES}
    return [group | {"file": name} for name, file in files.items() for group in file["groups"]]


def rules() -> list[dict[str, Any]]:
    """Return every rule of every file."""
    return [rule for group in groups() for rule in group["rules"]]
