"""What is kept of compiled programs: it comes back as it was, or not at all."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.ebpf import cache_key as keys
from monitor.ebpf.cache_key import cache_key
from monitor.ebpf.compiled_cache import CompiledCache
from monitor.ebpf.program import CompiledMap, CompiledProgram

_KEY = "ab" * 32
PROGRAM = CompiledProgram((CompiledMap("counts", 2, 4, 8, 100, 0),), {"count": b"\x95" + bytes(7)})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Make a directory as systemd makes one."""
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    return path


def _kept(directory: Path) -> Path:
    CompiledCache(str(directory)).put(_KEY, PROGRAM)
    (path,) = directory.iterdir()
    return path


def _get(directory: Path | None, key: str = _KEY) -> CompiledProgram | None:
    return CompiledCache(str(directory) if directory else None).get(key, CompiledProgram)


def test_a_later_start_finds_it(directory: Path) -> None:
    """Under its key only; a second program of the key replaces it, and nothing unfinished stays."""
    path = _kept(directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _get(directory) == PROGRAM
    assert _get(directory, "cd" * 32) is None
    other = CompiledProgram((), {})
    CompiledCache(str(directory)).put(_KEY, other)
    assert _get(directory) == other
    assert list(directory.iterdir()) == [path]


def test_any_changed_byte_makes_it_one_to_compile(directory: Path) -> None:
    """Each bit that a disk can lose, each length at which a write can end."""
    path = _kept(directory)
    content = path.read_bytes()
    damaged = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(len(content))]
    for each in [*damaged, *(content[:end] for end in range(len(content))), content + b"\0"]:
        path.write_bytes(each)
        assert _get(directory) is None
    path.write_bytes(content)
    assert _get(directory) == PROGRAM
    path.rename(path.with_name("cd" * 32 + path.suffix))
    assert _get(directory, "cd" * 32) is None


def _by_others(path: Path) -> None:
    os.chown(path, 12345, 12345)


def _linked(path: Path) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


_UNTRUSTED: dict[str, Callable[[Path], object]] = {
    "of another account": _by_others,
    "group may write": lambda path: path.chmod(path.stat().st_mode | stat.S_IWGRP),
    "others may write": lambda path: path.chmod(path.stat().st_mode | stat.S_IWOTH),
    "a link": _linked,
    "a pipe": _pipe,
}


@pytest.mark.parametrize("what", ["file", "directory"])
@pytest.mark.parametrize("change", _UNTRUSTED)
def test_what_others_can_write_is_not_loaded(directory: Path, what: str, change: str) -> None:
    """It would run in the kernel: neither a file of others counts, nor a directory where they can put one."""
    path = _kept(directory)
    if change == "of another account" and os.geteuid():
        pytest.skip("only root can give a file away")
    if (what, change) == ("directory", "a pipe"):
        path.unlink()
        directory.rename(directory.with_name("aside"))
        directory.touch()
    else:
        _UNTRUSTED[change](path if what == "file" else directory)
    assert _get(directory) is None
    before = sorted(directory.iterdir()) if directory.is_dir() else []
    CompiledCache(str(directory)).put("cd" * 32, PROGRAM)
    assert what == "file" or not directory.is_dir() or sorted(directory.iterdir()) == before


@pytest.mark.parametrize("place", [None, "missing", "file"])
def test_without_a_directory_nothing_is_kept(tmp_path: Path, place: str | None) -> None:
    """Nor does it fail: everything is compiled as ever."""
    (tmp_path / "file").touch()
    directory = tmp_path / place if place else None
    CompiledCache(str(directory) if directory else None).put(_KEY, PROGRAM)
    assert _get(directory) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_oldest_make_room(directory: Path) -> None:
    """Every kernel and every configuration leaves files: 64 stay, the newest; what a killed process left goes, too."""
    for number in range(70):
        path = directory / (".unfinished" if not number else f"{number:064x}.ebpf")
        path.touch()
        os.utime(path, (number, number))
    path = _kept_among(directory)
    left = sorted(directory.iterdir())
    assert len(left) == 64
    assert path in left
    assert directory / f"{69:064x}.ebpf" in left
    assert not {directory / ".unfinished", directory / f"{6:064x}.ebpf"} & set(left)


def _kept_among(directory: Path) -> Path:
    CompiledCache(str(directory)).put(_KEY, PROGRAM)
    assert _get(directory) == PROGRAM
    return directory / f"{_KEY}.ebpf"


def test_all_that_a_program_follows_from_is_in_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our sources, the compiler's files, headers, the kernel, the request: a change of any yields another key."""
    own, system = tmp_path / "drops.c", tmp_path / "libbcc.so"
    own.write_text("a"), system.write_text("a")
    monkeypatch.setattr(keys, "_own_files", lambda: iter([own]))
    monkeypatch.setattr(keys, "_system_files", lambda: iter([system]))
    seen = [cache_key("program", 1)]
    assert cache_key("program", 1) == seen[0]
    seen.append(cache_key("program", 2))
    own.write_text("b")
    seen.append(cache_key("program", 1))
    system.write_text("ab")
    seen.append(cache_key("program", 1))
    os.utime(system, (1, 1))
    seen.append(cache_key("program", 1))
    system.unlink()
    seen.append(cache_key("program", 1))
    released = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*released[:2], "6.99", *released[3:])))
    seen.append(cache_key("program", 1))
    assert len(set(seen)) == len(seen)


def test_the_key_covers_programs_headers_compiler_and_our_package() -> None:
    """Every file of ours that takes part is read; of the system's, the headers' version counts on every machine."""
    own = {path.name for path in keys._own_files()}
    assert {"drops.c", "xdp_ban.c", "late.h", "layout.py", "reasons.py", "program.py", "kconfig.h"} <= own
    system = " ".join(str(path) for path in keys._system_files())
    assert "linux/version.h" in system
