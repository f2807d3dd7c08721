"""The contributor's guide works: the detector that it adds is built from its own blocks, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
MODULE, TESTS = "monitor/detectors/slow_knock.py", "tests/unit/detectors/test_slow_knock.py"
SHIPPED, LOCAL = "systemd/nodewarden.yaml", "/etc/nodewarden/conf.d/50-local.yaml"
COPIED = ("monitor", "tests/__init__.py", "tests/conftest.py", "tests/support", "tests/unit", "docs", "systemd")
CONCERNED = (
    "tests/unit/detectors/test_registry.py",
    "tests/unit/daemon/test_dispatch.py",
    "tests/unit/daemon/test_feeds.py",
    "tests/unit/daemon/test_samples.py",
    "tests/unit/config/test_logs.py",
    "tests/unit/config/test_reference.py",
)
"""Tests that know of all detectors: a new one must not need a change in any of them."""


def blocks() -> dict[str, str]:
    """Return the files that the guide shows whole, by the path in the line before each."""
    return dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


def run(tree: Path, *command: str) -> str:
    """Run a Python module in the copy, which comes before any other; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project to which the guide was followed, step by step."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "images"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "pyproject.toml", root)
    written = blocks()
    for name in (MODULE, TESTS):
        assert not (root / name).exists()
        (root / name).write_text(written[name])
    shipped = root / SHIPPED
    shipped.write_text(shipped.read_text().replace("\ndetectors:\n", f"\ndetectors:\n{written[SHIPPED]}\n"))
    for generator, name in (
        ("monitor.settings.reference", "configuration"),
        ("monitor.daemon.catalogue.reference", "metrics"),
    ):
        (root / f"docs/{name}.md").write_text(run(root, generator))
    return root


@pytest.fixture(scope="module")
def found(tree: Path) -> dict[str, Any]:
    """Return what the daemon's parts make of the detector, with the configuration that the guide ends with."""
    path = tree / "etc/nodewarden.yaml"
    (path.parent / "conf.d").mkdir(parents=True)
    path.write_text((tree / SHIPPED).read_text())
    (path.parent / "conf.d/50-local.yaml").write_text(blocks()[LOCAL])
    result: dict[str, Any] = json.loads(run(tree, "tests.support.guide_detector", str(path)))
    return result


def test_the_guide_shows_four_files() -> None:
    """Module, tests, and two pieces of configuration: there is no fifth file to be changed."""
    assert list(blocks()) == [MODULE, TESTS, SHIPPED, LOCAL]


def test_it_fires_in_the_pipeline(found: dict[str, Any]) -> None:
    """Fed with logged packets it decides on the third minute, and not before."""
    assert found["decided"] == [[], [], ["slow_knock"]]


def test_status_has_it(found: dict[str, Any]) -> None:
    """With the threshold that the operator's file gives it, its mode, and its alert."""
    status = found["status"]
    assert (status["maxretry"], status["findtime_s"], status["mode"], status["alerts"]) == (3, 3600.0, "observe", 1)


def test_reference_and_schema_have_it(found: dict[str, Any]) -> None:
    """Every key of its section, without a line outside of its module."""
    assert found["reference"]
    assert found["schema"] == [
        "allowlist",
        "bantime",
        "findtime",
        "max_entries",
        "maxretry",
        "mode",
        "networks",
        "ports",
        "shadow",
    ]


def test_metrics_have_it(found: dict[str, Any]) -> None:
    """It is a label of what all detectors count, and of the metric that it inherits."""
    names = {name.removeprefix("nodewarden_") for name in found["samples"]}
    assert {"detector_alerts_total", "detector_maxretry", "detector_agreements_total", "decisions_total"} <= names


def test_its_tests_pass_and_no_others_need_a_change(tree: Path) -> None:
    """The guide's own tests, the samples that every detector is run with, and tests that know of all detectors."""
    printed = run(tree, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", TESTS, *CONCERNED)
    passed = re.search(r"(\d+) passed", printed)
    assert passed
    assert int(passed[1]) > 100
    assert "failed" not in printed


def test_it_keeps_our_style(tree: Path) -> None:
    """The blocks are formatted and pass the linter as they stand in the guide."""
    run(tree, "ruff", "check", "--no-cache", MODULE, TESTS)
    run(tree, "ruff", "format", "--no-cache", "--check", MODULE, TESTS)
