"""The native extension as a whole: it is built and used here, says why not elsewhere, and packages insist on it."""

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from hatch_build import ShipData
from monitor.cli.doctor import doctor
from native.build import BuildError, build
from tests.support.native import extension

ROOT = Path(__file__).parents[2]


def test_it_is_used() -> None:
    """`make setup` built it for this Python and this version; CI fails without it."""
    assert extension().__name__ == "monitor._native"


def test_it_can_be_turned_off() -> None:
    """One variable of the environment has Python do everything, and the reason is known."""
    code = "from monitor import native; print(native.extension, native.why_not)"
    environment = os.environ | {"NODEWARDEN_NATIVE": "0", "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said.strip() == "None NODEWARDEN_NATIVE=0 turns it off"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, f"there is none for Python {sys.version_info.major}.{sys.version_info.minor}"),
        (b"", "it cannot be loaded: "),
        (b"INTERFACE = 0", "it was built for another version (interface 0, not "),
        (b"older = True", "it was built for another version (interface None, not "),
    ],
)
def test_python_does_everything_where_it_cannot_be_used(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """Missing, damaged or of another version: the reason says which, and what is found has no say in it."""
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor/__init__.py").touch()
    shutil.copy(ROOT / "monitor/native.py", tmp_path / "monitor")
    if content is not None:
        suffix = ".py" if content else EXTENSION_SUFFIXES[0]
        (tmp_path / f"monitor/_native{suffix}").write_bytes(content)
    code = "from monitor import native; print(native.extension, native.why_not)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    said = subprocess.check_output([sys.executable, "-P", "-c", code], env=environment, text=True)
    assert said.startswith(f"None {reason}")


@pytest.mark.parametrize(
    ("is_native", "why_not", "line"),
    [
        (True, "", "native code: in use"),
        (False, "it is damaged", "native code: not in use, it is damaged; everything works, more slowly"),
    ],
)
def test_doctor_says_which_code_runs(is_native: bool, why_not: str, line: str) -> None:
    """A line of its own, and no problem: the results are the same."""
    finding = {
        "is_sound": True, "is_daemon": True, "is_sandboxed": True, "account": "nodewarden", "kernel": "6.1",
        "is_native": is_native, "why_not_native": why_not, "parts": [],
    }  # fmt: skip
    done = CliRunner().invoke(doctor, [], obj=SimpleNamespace(ask=lambda _: finding))
    assert line in done.output.splitlines()
    assert done.exit_code == 0


def test_without_a_compiler_only_packages_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation goes on without the extension and says why; where it is required, the build ends."""
    monkeypatch.setenv("CC", "/nonexistent/cc")
    warnings: list[str] = []
    hook: Any = SimpleNamespace(root=str(ROOT), app=SimpleNamespace(display_warning=warnings.append))
    assert ShipData._build(hook, tmp_path) is None
    assert "no C compiler: No such file or directory: /nonexistent/cc" in warnings[0]
    monkeypatch.setenv("NODEWARDEN_NATIVE", "required")
    with pytest.raises(BuildError):
        ShipData._build(hook, tmp_path)
    assert not any(tmp_path.iterdir())


def test_faults_of_the_compiler_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the compiler says is in the error."""
    monkeypatch.setenv("CFLAGS", "-DPY_SSIZE_T_CLEAN=( -fno-such-option")
    with pytest.raises(BuildError, match="no-such-option"):
        build(tmp_path)
