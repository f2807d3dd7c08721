"""Programs of our own that run as children: they are ours, wherever they are started."""

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.job import Job
from monitor.audit.kernel.judging import _run
from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.cli.nft_program import installed_version

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


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 'nftables v1.0.6 (x)'", "1.0.6"),
        (r"printf '\377\216 v1.2'", "1.2"),
        ("exec yes v1.2", ""),
        ("exit 1", ""),
    ],
)
def test_any_nft_is_asked_for_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, version: str
) -> None:
    """One that prints what is no text, or prints without end, neither raises anything nor fills memory."""
    program = tmp_path / "nft"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert installed_version() == version


def test_a_program_that_prints_without_end_fills_no_memory() -> None:
    """The kernel ends it when it has printed more than is read."""
    with pytest.raises(ProgramFailed, match="yes printed more than 64 KiB"):
        run("yes", limit_bytes=1 << 16)


def test_a_program_may_have_less_than_its_limit() -> None:
    """Where memory is limited to less already, that limit stays, and programs run."""
    confined = (
        "import resource; from monitor.audit.kernel.programs import run;"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)); assert run('echo', 'yes') == b'yes\\n'"
    )
    subprocess.run([sys.executable, "-P", "-c", confined], check=True)
