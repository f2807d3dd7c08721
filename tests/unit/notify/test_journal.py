"""What the notifier heard last is on disk, whatever is wrong with the disk or the file."""

import os
from pathlib import Path

import pytest

from monitor.notify import journal
from monitor.notify.journal import Entry, Journal
from monitor.notify.spool import Cursor


def _at(last: int, run: str = "1.0") -> Cursor:
    return Cursor(run=run, last=last)


def _entry(first: int, last: int) -> Entry:
    return Entry(before=_at(first), after=_at(last), events=[{"number": n} for n in range(first + 1, last + 1)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the journal is."""
    return tmp_path / "heard.jsonl"


def test_what_follows_a_cursor_is_found_in_order(path: Path) -> None:
    """What is before it is in the spool; what does not follow belongs to another time."""
    one = Journal(path)
    entries = [_entry(0, 3), _entry(3, 5), _entry(5, 6)]
    for entry in entries:
        one.add(entry)
    assert Journal(path).after(_at(0)) == entries
    assert Journal(path).after(_at(3)) == entries[1:]
    assert Journal(path).after(_at(6)) == []
    assert Journal(path).after(_at(3, "2.0")) == []
    assert Journal(path).after(None) == []
    assert path.stat().st_mode & 0o777 == 0o600
    one.clear()
    assert not path.exists()
    assert Journal(path).after(_at(0)) == []


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_was_cut_off_costs_only_itself(path: Path, cut: int) -> None:
    """A kill while it is written, or a full disk; what is heard then is kept."""
    one = Journal(path)
    for entry in (_entry(0, 3), _entry(3, 5)):
        one.add(entry)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert again.after(_at(0)) == [_entry(0, 3)]
    again.add(_entry(3, 6))
    assert Journal(path).after(_at(0)) == [_entry(0, 3), _entry(3, 6)]


@pytest.mark.parametrize("content", [b"\xff" * 100, b"[]", b'{"before": 3}', b"\n\n", b"[" * 100_000])
def test_a_damaged_file_is_no_fault(path: Path, content: bytes) -> None:
    """What can be read of it is."""
    path.write_bytes(content)
    one = Journal(path)
    assert one.after(_at(0)) == []
    one.add(_entry(0, 1))
    assert Journal(path).after(_at(0)) == [_entry(0, 1)]


def test_a_disk_that_fails_raises_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once; the next entry is written if that is possible."""
    path.mkdir()
    one = Journal(path)
    assert one.after(_at(0)) == []
    one.add(_entry(0, 1))
    one.clear()
    path.rmdir()
    with monkeypatch.context() as full:
        write = os.write
        full.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:10]))
        one.add(_entry(0, 1))
        one.add(_entry(0, 1))
    assert sum("No space left" in text for text in caplog.messages) == 1
    one.add(_entry(0, 2))
    assert Journal(path).after(_at(0)) == [_entry(0, 2)]


def test_its_size_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that cannot be written for long does not fill the disk."""
    monkeypatch.setattr(journal, "MAX_BYTES", 1000)
    one = Journal(path)
    for number in range(100):
        one.add(_entry(number, number + 1))
    assert path.stat().st_size <= 1000
