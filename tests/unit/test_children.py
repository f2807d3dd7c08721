"""Programs of our own that run as children: they are ours, wherever they are started."""

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.job import Job
from monitor.audit.kernel.judging import _run

_ROOT = Path(monitor.__file__).parent


def _interpreters() -> Iterator[tuple[str, list[Any]]]:
    """Yield the constants of each list that starts a module."""
    for path in _ROOT.rglob("*.py"):
        text = path.read_text()
        if '"-m"' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.List):
                constants = [one.value for one in node.elts if isinstance(one, ast.Constant)]
                if "-m" in constants:
                    yield str(path), constants


def test_children_take_no_modules_from_the_current_directory() -> None:
    """`python -m` looks in the current directory first, which may be somebody else's: with -P it does not."""
    found = list(_interpreters())
    assert len(found) >= 3
    assert [path for path, constants in found if "-P" not in constants] == []


def test_an_audit_runs_nothing_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package called `monitor` in the directory where root starts an audit is not run."""
    place = tmp_path / "monitor/audit/kernel"
    place.mkdir(parents=True)
    for directory in (place, place.parent, place.parent.parent):
        (directory / "__init__.py").touch()
    (place / "child.py").write_text("open('run', 'w')\n")
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(JudgeError):  # without root
        _run(Job(links=()))
    assert not (tmp_path / "run").exists()
