"""The native extension as it is built: for the package, from a source distribution, with sanitizers, or not at all."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monitor import __version__
from tests.support.deb import ROOT

pytestmark = pytest.mark.system


def hatchling(checkout: Path, target: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel or source distribution of a checkout into a directory."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        target,
        "--directory",
        directory,
    ]
    return subprocess.run(command, cwd=checkout, env=os.environ | environment, capture_output=True, text=True)


def extension(wheel: Path) -> bytes:
    """Return the one extension in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith("monitor/_native.") and name.endswith(".so"))
        return archive.read(name)


def test_a_source_distribution_builds_the_same_wheel(tmp_path: Path) -> None:
    """It has all that the extension is built from, and the result does not depend on where that is."""
    for checkout, target in ((ROOT, "sdist"), (ROOT, "wheel")):
        done = hatchling(checkout, target, tmp_path / "first", NODEWARDEN_NATIVE="required")
        assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-C", tmp_path, "-xzf", tmp_path / f"first/nodewarden-{__version__}.tar.gz"], check=True)
    done = hatchling(tmp_path / f"nodewarden-{__version__}", "wheel", tmp_path / "second", NODEWARDEN_NATIVE="required")
    assert done.returncode == 0, done.stderr
    (first,), (second,) = ((tmp_path / name).glob("*.whl") for name in ("first", "second"))
    assert first.name == second.name
    assert not first.name.endswith("-any.whl")
    assert extension(first) == extension(second)


def test_without_a_compiler_a_wheel_has_python_only(tmp_path: Path) -> None:
    """It runs on any machine; where the extension is required, there is none, and the reason is shown."""
    failed = hatchling(ROOT, "wheel", tmp_path, NODEWARDEN_NATIVE="required", CC="/nonexistent/cc")
    assert failed.returncode != 0
    assert "no C compiler" in failed.stderr
    assert not any(tmp_path.iterdir())
    done = hatchling(ROOT, "wheel", tmp_path, CC="/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def test_the_package_has_it_hardened_and_stripped(deb: Path, tmp_path: Path) -> None:
    """One file, not executable, without symbols and search paths; relocations are read-only from the start."""
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path], check=True)
    (file,) = tmp_path.rglob("monitor/_native.*.so")
    assert file.stat().st_mode & 0o7777 == 0o644
    dynamic, sections, symbols = (
        subprocess.check_output(["readelf", "--wide", option, file], text=True)
        for option in ("--dynamic", "--sections", "--dyn-syms")
    )
    assert "NOW" in dynamic
    assert "PATH" not in dynamic
    assert ".symtab" not in sections
    assert "__stack_chk_fail" in symbols
    assert [line.split()[-1] for line in symbols.splitlines() if "GLOBAL DEFAULT" in line and " UND " not in line] == [
        "PyInit__native"
    ]


def test_sanitizers_find_nothing() -> None:
    """`make sanitize`: all comparisons with Python, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    done = subprocess.run([sys.executable, "-m", "tests.sanitized"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
