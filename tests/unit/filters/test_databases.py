"""Compiled databases are kept, and used only where nobody else can have written them."""

import os
import threading
import time
from pathlib import Path

import pytest

from monitor.files.kept import KeptFiles
from monitor.filters import databases
from monitor.filters.databases import Databases
from monitor.filters.scanner import BlockScanner, can_search

_TEXTS = ("Failed password", "Invalid user")
_LINES = b"one\nFailed password for x\nInvalid user y\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "filters"


def _find(directory: Path | None, texts: tuple[str, ...] = _TEXTS) -> list[tuple[int, ...]]:
    """Search with databases of this directory; return the numbers of the expressions, line by line."""
    found = BlockScanner(texts, Databases(directory)).candidates(_LINES)
    return [tuple(numbers or ()) for _, _, numbers in found]


def _kept(directory: Path, count: int = 1) -> list[Path]:
    """Return the files once there are that many; the thread writes them after it answered."""
    end_s = time.monotonic() + 10
    while len(found := list(directory.glob("*.hs"))) < count and time.monotonic() < end_s:
        time.sleep(0.005)
    assert len(found) == count
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what is compiled from now on."""
    counted: list[int] = []
    compile_database = databases.compile_database

    def count(expressions: list[bytes]) -> object:
        counted.append(len(expressions))
        return compile_database(expressions)

    databases._built_by()
    monkeypatch.setattr(databases, "compile_database", count)
    return counted


def test_what_was_compiled_is_read(directory: Path, compiled: list[int]) -> None:
    assert _find(directory) == [(0,), (1,)]
    (path,) = _kept(directory)
    assert (directory.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert _find(directory) == [(0,), (1,)]
    assert compiled == [2]
    assert _find(directory, _TEXTS[::-1]) == [(1,), (0,)]  # other numbers: another database
    assert compiled == [2, 2]


def test_whether_a_large_expression_can_be_searched_for_is_kept(directory: Path, compiled: list[int]) -> None:
    """To try one takes a fifth of a second; the answer is that of the first time, whatever it was."""
    large, too_large = "x" * 1001, "x" * 1001 + ".*y" * 20_000
    for _ in range(2):
        assert [can_search(text, Databases(directory)) for text in (large, too_large)] == [True, False]
    assert compiled == [1, 1]
    for path in _kept(directory, 2):
        _damage(path)
    assert can_search(large, Databases(directory))
    assert compiled == [1, 1, 1]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _forge(path: Path) -> None:
    """Write another database, with a checksum that fits it."""
    KeptFiles(path.parent, path.suffix, 1 << 20).put(path.stem, b"not a database")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _link(path: Path) -> None:
    path.rename(other := path.with_suffix(".moved"))
    path.symlink_to(other)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _of_others(path: Path) -> None:
    os.chown(path, 65534, 65534)


def _writable_directory(path: Path) -> None:
    path.parent.chmod(0o777)


def _directory_of_others(path: Path) -> None:
    os.chown(path.parent, 65534, 65534)


def _sticky_directory(path: Path) -> None:
    path.parent.chmod(0o1777)


@pytest.mark.parametrize(
    "spoil",
    [_cut, _damage, _forge, _empty, _link, _fifo, _writable, _of_others, _writable_directory, _directory_of_others,
     _sticky_directory],
)  # fmt: skip
def test_what_cannot_be_trusted_is_compiled_again(spoil: object, directory: Path, compiled: list[int]) -> None:
    assert _find(directory) == [(0,), (1,)]
    (path,) = _kept(directory)
    spoil(path)  # type: ignore[operator]
    assert _find(directory) == [(0,), (1,)]
    assert compiled == [2, 2]


def test_another_processor_or_version_has_its_own(
    directory: Path, compiled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _find(directory) == [(0,), (1,)]
    _kept(directory)
    monkeypatch.setattr(databases, "_built_by", lambda: b"other")
    assert _find(directory) == [(0,), (1,)]
    assert compiled == [2, 2]
    _kept(directory, 2)


def test_a_directory_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "filters").write_text("a file")
    assert _find(tmp_path / "filters") == [(0,), (1,)]


def test_old_files_are_deleted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "MAX_FILES", 3)
    for number in range(6):
        _find(directory, (f"text {number}",))
        end_s = time.monotonic() + 10
        while databases._compiler._is_running and time.monotonic() < end_s:
            time.sleep(0.001)
    assert len(list(directory.iterdir())) == 3


def test_nobody_waits_for_a_database_who_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is compiled, it says so; after that it finds what it should."""
    may_go = threading.Event()
    compile_database = databases.compile_database

    def wait(expressions: list[bytes]) -> object:
        assert may_go.wait(10)
        return compile_database(expressions)

    monkeypatch.setattr(databases, "compile_database", wait)
    one = BlockScanner(_TEXTS)
    assert not one.is_ready
    may_go.set()
    assert len(one.candidates(_LINES)) == 2
    assert one.is_ready


def test_what_does_not_compile_is_looked_at_closely(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(expressions: list[bytes]) -> object:
        raise databases.hyperscan.error("too large")

    monkeypatch.setattr(databases, "compile_database", refuse)
    assert [numbers for *_, numbers in BlockScanner(_TEXTS).candidates(_LINES)] == [None] * 3
    assert "too large" in caplog.text
