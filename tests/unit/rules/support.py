"""Rules under promtool: series written sample by sample, what is expected of them, and what promtool says."""

import itertools
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[3] / "dashboards/rules"
FILES = ("signals.yaml", "bands.yaml", "alerts.yaml")
NODE = 'cluster="default",job="nodewarden",instance="node1:9843"'
"""The labels of the node that most tests are about."""


def series(name: str, labels: str = "", *, node: str = NODE) -> str:
    """Return how PromQL writes a series of a node."""
    return f"{name}{{{node}{',' if labels else ''}{labels}}}"


def counter(rates: Iterable[float | None], step_s: float) -> str:
    """Return the samples of a counter that grows at these rates (per second), one sample a step; None: no sample."""
    total, samples = 0.0, ["0"]
    for rate in rates:
        if rate is None:
            samples.append("_")
        else:
            total += rate * step_s
            samples.append(f"{total:.6g}")
    return " ".join(samples)


def gauge(values: Iterable[float]) -> str:
    """Return the samples of a gauge."""
    return " ".join(f"{value:.6g}" for value in values)


def holds(expression: str, at_min: float) -> dict[str, Any]:
    """Return the test that an expression with a `bool` comparison yields 1, once, at a time in minutes."""
    return {
        "expr": f"sum({expression})",
        "eval_time": f"{round(at_min * 60)}s",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }


def yields_nothing(expression: str, at_min: float) -> dict[str, Any]:
    """Return the test that an expression yields no series."""
    return {"expr": expression, "eval_time": f"{round(at_min * 60)}s", "exp_samples": []}


def run(
    directory: Path,
    inputs: Mapping[str, str],
    *,
    step: str = "1m",
    expressions: Sequence[Mapping[str, Any]] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Have promtool evaluate the rules over these series, one evaluation a step; AssertionError with what it says."""
    case = {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "promql_expr_test": list(expressions),
        "alert_rule_test": list(alerts),
    }
    document = {
        "rule_files": [str(RULES / name) for name in FILES if alerts or name != "alerts.yaml"],
        "evaluation_interval": step,
        "tests": [case],
    }
    path = directory / "test.yaml"
    path.write_text(json.dumps(document))  # which is YAML, too
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    """Return every rule of every file."""
    documents = [yaml.safe_load((RULES / name).read_text()) for name in FILES]
    groups = itertools.chain.from_iterable(document["groups"] for document in documents)
    return [rule for group in groups for rule in group["rules"]]
