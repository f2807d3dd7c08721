"""What may not be read although it is there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.files.access import denied

_NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory for somebody without privileges: root reads everything."""
    is_root = os.geteuid() == 0
    ours = (one for one in tmp_path.parents if one.name.startswith(("pytest-", "popen-")))
    for directory in (tmp_path, *ours):
        directory.chmod(0o755)
    yield tmp_path
    if is_root:
        os.seteuid(0)


def _without_privileges() -> None:
    if os.geteuid() == 0:
        os.seteuid(_NOBODY)


def _file(path: Path, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(mode)
    return path


def test_files_without_permission_are_denied(place: Path) -> None:
    """Of all that match, those are named that may not be read; what is not there is not denied."""
    _file(place / "open.log", 0o644)
    closed = _file(place / "closed.log", 0o000)
    _without_privileges()
    assert list(denied([f"{place}/*.log", f"{place}/missing.log", f"{place}/none/*.log"])) == [str(closed)]


def test_closed_directories_are_denied(place: Path) -> None:
    """A directory on the way that may not be passed is named, once, for nobody knows what is behind it."""
    directory = _file(place / "closed/inner/some.log", 0o644).parents[1]
    directory.chmod(0o000)
    _without_privileges()
    assert list(denied([f"{directory}/inner/some.log", f"{directory}/inner/*.log"])) == [str(directory)]


def test_a_directory_is_listed_only_for_wildcards(place: Path) -> None:
    """One that may be passed but not listed hides what a wildcard stands for, and nothing that has a name."""
    directory = _file(place / "unlisted/some.log", 0o644).parent
    directory.chmod(0o711 if os.geteuid() == 0 else 0o311)
    _without_privileges()
    assert list(denied([f"{directory}/some.log"])) == []
    assert list(denied([f"{directory}/*.log"])) == [str(directory)]
