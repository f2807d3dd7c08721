"""Log files as they are followed: where reading starts, what is a line, which files count."""

import os
import select
from pathlib import Path

import pytest

from monitor.model.writers import FileWriter, ordinary_reason
from monitor.sources.tail.reader import Tail, TailStats
from tests.support.tail import append, blocks, followed, lines, open_files, tick


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a log with one line from before."""
    path = tmp_path / "auth.log"
    path.write_bytes(b"old\n")
    return path


def test_reading_starts_now(log: Path) -> None:
    """What a file holds at the first start is not read; what is written afterwards wakes the reader and is live."""
    with followed(log) as tail:
        assert blocks(tail) == []
        assert not select.select([tail], [], [], 0)[0]
        append(log, b"new\nnewer\n")
        assert select.select([tail], [], [], 5)[0]
        (block,) = blocks(tail)
        assert (block.log, block.detectors, block.data) == (str(log), ("sshd",), b"new\nnewer\n")
        assert block.is_live
        assert (block.writer, block.is_cut) == (FileWriter(str(log), str(log)), False)
        assert block.times_s == ()
        assert (tail.stats.records, tail.stats.bytes) == (2, 10)
        assert not select.select([tail], [], [], 0)[0]
        assert blocks(tail) == []


def test_reading_continues_at_the_saved_cursor(log: Path) -> None:
    """What was written while nobody read is handed out, not as live; what comes later is live."""
    with followed(log) as tail:
        append(log, b"1\n")
        assert lines(tail) == [b"1"]
        cursors = tail.cursors()
    append(log, b"2\nhal")
    with followed(log, cursors=cursors) as tail:
        append(log, b"f\n3\n")
        found = blocks(tail)
        assert [(block.data, block.is_live) for block in found] == [(b"2\n", False), (b"half\n3\n", True)]
        assert tail.stats.lost == 0


def test_only_lines_handed_out_are_before_the_cursor(log: Path) -> None:
    """A cursor saved between two reads neither loses nor doubles a line; it changes only when something was read."""
    with followed(log, max_line_bytes=256) as tail:
        lines(tail)
        tail.changed_cursors()
        assert tail.changed_cursors() == {}
        append(log, b"".join(b"%d\n" % number for number in range(1000)))
        first = b"".join(block.data for block in tail.read(300))
        assert not tail.is_drained
        cursors = tail.changed_cursors()
        assert cursors == tail.cursors()
        assert list(cursors) == [str(log)]
    with followed(log, cursors=cursors) as tail:
        rest = lines(tail)
    assert 0 < len(rest) < 1000
    assert first.split(b"\n")[:-1] + rest == [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize("cursor", ["", "{}", "nonsense", '{"device":1,"inode":-1,"offset":0}', "[" * 1000, "\udcff"])
def test_a_cursor_that_is_none(log: Path, cursor: str) -> None:
    """Whatever was saved, reading starts; where it cannot go on, it starts at the beginning and says so."""
    with followed(log, cursors={str(log): cursor}) as tail:
        assert lines(tail) == ([b"old"] if cursor else [])
        assert tail.stats.lost == bool(cursor)
        assert len(tail.notices) == bool(cursor)


def test_a_file_that_appears_is_read_from_its_beginning(tmp_path: Path) -> None:
    """A pattern waits for its files, and for the directories on the way, again and again."""
    with followed(tmp_path / "*" / "logs" / "a?c.log") as tail:
        assert tail.waiting == [f"{tmp_path}/*/logs/a?c.log"]
        assert tail.problems == []
        for number in range(2):
            directory = tmp_path / "web" / "logs"
            directory.mkdir(parents=True)
            assert lines(tail) == []
            append(directory / "abc.log", b"%d\n" % number)
            append(directory / "abbc.log", b"no\n")
            assert [(block.data, block.is_live) for block in blocks(tail)] == [(b"%d\n" % number, True)]
            assert tail.waiting == []
            for path in (directory / "abc.log", directory / "abbc.log"):
                path.unlink()
            directory.rmdir()
            directory.parent.rmdir()
            assert lines(tail) == []
            tick(tail, 6)
            assert tail.cursors() == {}


def test_a_line_is_handed_out_when_it_is_whole(log: Path) -> None:
    """The beginning of a line is held back, also one that was there at the start; other bytes are left as they are."""
    append(log, b"fir")
    with followed(log) as tail:
        assert lines(tail) == []
        append(log, b"st\r\n\xff\xfe\x01 sec")
        assert lines(tail) == [
            b"first\r",
        ]
        append(log, b"ond\n\n")
        assert lines(tail) == [b"\xff\xfe\x01 second", b""]


def test_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    """Compressed generations, directories, FIFOs, devices and dangling links are not opened, nor waited for."""
    with followed(tmp_path / "*", "/dev/null") as tail:
        for suffix in ("gz", "xz", "bz2", "zst", "lz4"):
            append(tmp_path / f"auth.log.1.{suffix}", b"packed\n")
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "zero").symlink_to("/dev/zero")
        (tmp_path / "dangling").symlink_to("nowhere")
        (tmp_path / "loop").symlink_to("loop")
        append(tmp_path / "break\x1b[2J\nout", b"hostile name\n")
        append(tmp_path / ".hidden", b"hidden\n")
        append(tmp_path / "log", b"log\n")
        assert lines(tail) == [b"log"]
        assert tail.problems == []
        assert list(tail.cursors()) == [str(tmp_path / "log")]


def test_one_file_by_many_names_is_read_once(log: Path, tmp_path: Path) -> None:
    """Detectors that name the same file, by patterns, links or hard links, share its blocks."""
    (tmp_path / "link.log").symlink_to(log)
    (tmp_path / "other.log").hardlink_to(log)
    patterns = {"b": [str(log)], "a": [f"{tmp_path}/*.log"], "c": [f"{tmp_path}/../{tmp_path.name}/link.log"]}
    tail = Tail(patterns)
    append(log, b"once\n")
    (block,) = blocks(tail)
    assert (block.log, block.detectors, block.data) == (str(log), ("a", "b", "c"), b"once\n")
    tail.close()


def test_an_unreadable_file_is_said_and_taken_up_later(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is a problem; once it may, only what comes then counts as new."""
    really = os.open

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with followed(log) as tail:
        assert tail.problems == [f"{log} cannot be read: Permission denied"]
        assert tail.stats.unreadable_files == 1
        monkeypatch.setattr(os, "open", really)
        assert tick(tail, 61)
        assert lines(tail) == []
        assert tail.problems == []
        append(log, b"new\n")
        assert lines(tail) == [b"new"]


def test_a_file_that_fails_while_it_is_read_is_read_on(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk that passes: the file is a problem until the next tick reads on where it was."""
    really = os.pread

    def fail(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(5, "Input/output error")

    with followed(log) as tail:
        append(log, b"one\n")
        assert lines(tail) == [b"one"]
        append(log, b"two\n")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", fail)
            assert lines(tail) == []
        assert tail.problems == [f"{log} cannot be read: Input/output error"]
        monkeypatch.setattr(os, "pread", really)
        assert tick(tail, 1)
        assert lines(tail) == [b"two"]
        assert tail.problems == []


def test_without_events_a_tick_finds_it(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where inotify cannot be had, that is said; changes and new files are found by time."""
    monkeypatch.setattr("monitor.files.inotify.init", lambda: -1)
    with followed(log, log.with_name("late.log")) as tail:
        assert "inotify" in tail.problems[0]
        assert lines(tail) == []
        append(log, b"new\n")
        assert lines(tail) == []
        assert tick(tail, 0)
        assert lines(tail) == [b"new"]
        append(log.with_name("late.log"), b"late\n")
        assert not tick(tail, 1)
        assert tick(tail, 6)
        assert lines(tail) == [b"late"]


def test_lost_events_are_made_up_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel's queue overflowed, all files are read and looked for."""
    with followed(log.with_name("*.log")) as tail:
        lines(tail)
        append(log, b"1\n")
        append(log.with_name("b.log"), b"2\n")
        monkeypatch.setattr(tail._watcher, "events", lambda: [(-1, 0x4000, "")])
        assert sorted(lines(tail)) == [b"1", b"2"]


def test_trust_is_looked_at_again(log: Path) -> None:
    """A file that others may write proves nothing from then on; the notice says who."""
    with followed(log) as tail:
        append(log, b"1\n")
        assert [ordinary_reason(block.writer) for block in blocks(tail)] == [""]
        log.chmod(0o666)
        append(log, b"2\n")
        assert [ordinary_reason(block.writer) for block in blocks(tail)] == ["everybody may write it"]
        assert tail.notices == [f"{log} proves nothing: everybody may write it"]
        assert tail.stats.untrusted == 1
        log.chmod(0o640)
        append(log, b"3\n")
        assert [ordinary_reason(block.writer) for block in blocks(tail)] == [""]
        assert tail.notices == []


def test_totals_are_counted_on_and_files_closed(log: Path, tmp_path: Path) -> None:
    """A source that is opened anew goes on with the totals given to it; nothing stays open behind it."""
    stats = TailStats(records=5)
    with followed(log, stats=stats) as tail:
        append(log, b"1\n")
        assert lines(tail) == [b"1"]
        assert (stats.records, stats.files) == (6, 1)
        assert open_files(tmp_path) == 1
    assert open_files(tmp_path) == 0


@pytest.mark.parametrize(("pattern", "longest"), [("relative.log", 8192), ("/var/log/x", 100)])
def test_what_cannot_be_asked(pattern: str, longest: int) -> None:
    """Relative patterns and lines too short to be of use are refused."""
    with pytest.raises(ValueError, match=r"absolute|at least"):
        Tail({"x": [pattern]}, max_line_bytes=longest)
