"""Log files over rotations: by rename, by copytruncate, while we follow and while nobody does."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.tail import append, blocks, followed, lines, open_files, tick


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give an empty log."""
    path = tmp_path / "auth.log"
    path.touch()
    return path


def rotate(path: Path, name: str = "auth.log.1") -> None:
    """Rename a log and begin a new one."""
    path.rename(path.with_name(name))
    path.touch()


@pytest.mark.parametrize("pattern", ["auth.log", "auth.log*", "*"])
def test_rename(log: Path, pattern: str) -> None:
    """The old file is read to its end, with what is written there late, then the new one; nothing twice."""
    with followed(log.with_name(pattern)) as tail:
        append(log, b"1\n")
        old = log.open("ab", buffering=0)
        old.write(b"2\n")
        rotate(log)
        old.write(b"3\n")
        assert lines(tail) == [b"1", b"2", b"3"]
        old.write(b"4\n")
        append(log, b"5\n")
        assert lines(tail) == [b"4", b"5"]
        old.write(b"6\n")
        assert lines(tail) == [b"6"]
        old.close()
        assert tail.stats.rotations == 1
        assert list(tail.cursors()) == [str(log)]
        assert open_files(log.parent) == 2
        tick(tail, 6)
        assert open_files(log.parent) == 1
        assert lines(tail) == []
        assert (tail.stats.lost, tail.stats.lost_bytes) == (0, 0)


def test_the_old_file_is_kept_until_the_writer_switches(log: Path) -> None:
    """However long a writer takes to be told, what it writes to the renamed file is read."""
    with followed(log) as tail, log.open("ab", buffering=0) as old:
        old.write(b"1\n")
        rotate(log)
        assert lines(tail) == [b"1"]
        tick(tail, 300)
        old.write(b"2\n")
        assert lines(tail) == [b"2"]
        tick(tail, 700)
        assert open_files(log.parent) == 2  # ours, and the writer's own
        append(log, b"3\n")
        assert lines(tail) == [b"3"]


@pytest.mark.parametrize(
    "name", ["auth.log.1", "auth.log-20240131", "auth.log-20240131-1706659200", "auth-20240131.log"]
)
def test_rename_while_nobody_read(log: Path, name: str) -> None:
    """The rest of the old file is found by its inode, under the names logrotate gives; then the new file is read."""
    with followed(log) as tail:
        append(log, b"1\n")
        assert lines(tail) == [b"1"]
        cursors = tail.cursors()
    append(log, b"2\n")
    rotate(log, name)
    append(log, b"3\n")
    with followed(log, cursors=cursors) as tail:
        assert [(block.data, block.is_live) for block in blocks(tail)] == [(b"2\n", False), (b"3\n", False)]
        append(log, b"4\n")
        assert [(block.data, block.is_live) for block in blocks(tail)] == [(b"4\n", True)]
        assert tail.stats.lost == 0


def test_many_generations_while_nobody_read(log: Path) -> None:
    """Those between the saved cursor and the file of today are read in order; older ones are not."""
    append(log, b"before\n")
    rotate(log, "auth.log.4")
    with followed(log) as tail:
        append(log, b"1\n")
        assert lines(tail) == [b"1"]
        cursors = tail.cursors()
    for number, name in enumerate(("auth.log.3", "auth.log.2", "auth.log.1"), 2):
        append(log, b"%d\n" % number)
        rotate(log, name)
        os.utime(log.with_name(name), (number, number))
    append(log, b"5\n")
    os.utime(log.with_name("auth.log.4"), (1, 1))
    with followed(log, cursors=cursors) as tail:
        assert lines(tail) == [b"2", b"3", b"4", b"5"]


def test_many_generations_between_two_reads(log: Path) -> None:
    """A log that was rotated again before it was read loses nothing."""
    with followed(log) as tail:
        for number in range(5, 0, -1):
            append(log, b"%d\n" % number)
            rotate(log, f"auth.log.{number}")
        append(log, b"0\n")
        assert lines(tail) == [b"5", b"4", b"3", b"2", b"1", b"0"]


def test_the_cursor_while_the_old_file_is_unread(log: Path) -> None:
    """As long as nothing of the new file was handed out, the cursor is in the old one."""
    with followed(log) as tail:
        append(log, b"1\n")
        lines(tail)
        append(log, b"2\n")
        rotate(log)
        append(log, b"3\n")
        (block,) = tail.read(1)
        assert block.data == b"2\n"
        cursors = tail.cursors()
    with followed(log, cursors=cursors) as tail:
        assert lines(tail) == [b"3"]


def test_a_cursor_that_is_gone(log: Path) -> None:
    """Where the old generation was compressed or deleted, that is a gap; the new file is read from its beginning."""
    with followed(log) as tail:
        append(log, b"1\n")
        lines(tail)
        cursors = tail.cursors()
    append(log, b"lost\n")
    log.rename(log.with_name("auth.log.1.gz"))
    append(log, b"2\n")
    with followed(log, cursors=cursors) as tail:
        assert [(block.data, block.is_live) for block in blocks(tail)] == [(b"2\n", False)]
        assert tail.stats.lost == 1
        assert "the saved cursor is gone" in tail.notices[0]


@pytest.mark.parametrize("after", [b"", b"4\n", b"line 4, longer than all before it\n"])
def test_copytruncate(log: Path, after: bytes) -> None:
    """An emptied file is read from its beginning, also if it is longer again; the rest is read from the copy."""
    with followed(log) as tail:
        append(log, b"line 1\nline 2\n")
        assert lines(tail) == [b"line 1", b"line 2"]
        append(log, b"line 3\n")
        shutil.copy(log, log.with_name("auth.log.1"))
        os.truncate(log, 0)
        append(log, after)
        expected = [b"line 3", *after.splitlines()]
        assert lines(tail) == expected
        append(log, b"line 5\n")
        assert lines(tail) == [b"line 5"]
        assert tail.stats.truncations == 1


def test_copytruncate_without_a_copy(log: Path) -> None:
    """What was unread when a file was emptied is gone; reading begins anew, once for each time."""
    with followed(log) as tail:
        for number in range(3):
            append(log, b"%d\n" % number)
            assert lines(tail) == [b"%d" % number]
            os.truncate(log, 0)
            assert lines(tail) == []
        assert tail.stats.truncations == 3


@pytest.mark.parametrize("after", [b"", b"4\n", b"line 4, longer than all before it\n"])
def test_copytruncate_while_nobody_read(log: Path, after: bytes) -> None:
    """The copy is found by what is before the saved cursor."""
    with followed(log) as tail:
        append(log, b"line 1\nline 2\n")
        lines(tail)
        cursors = tail.cursors()
    append(log, b"line 3\n")
    shutil.copy(log, log.with_name("auth.log.1"))
    os.truncate(log, 0)
    append(log, after)
    with followed(log, cursors=cursors) as tail:
        assert lines(tail) == [b"line 3", *after.splitlines()]
        assert tail.stats.lost == 0


def test_a_writer_that_does_not_append(log: Path) -> None:
    """The hole that it leaves before its next line, after its file was emptied, is passed over."""
    with followed(log) as tail, log.open("wb", buffering=0) as writer:
        writer.write(b"1\n")
        assert lines(tail) == [b"1"]
        writer.seek(1 << 34)
        os.truncate(log, 0)
        writer.write(b"2\n\0\0")
        found = lines(tail)
        writer.write(b"3\n")
        assert found + lines(tail) == [b"2", b"3"]
        assert tail.stats.cut_lines == 0
        os.truncate(log, 1 << 35)
        assert lines(tail) == []


def test_a_reused_inode_is_another_file(log: Path) -> None:
    """A file with the inode of the saved cursor but other content is read from its beginning."""
    with followed(log) as tail:
        append(log, b"the first file\n")
        lines(tail)
        cursors = tail.cursors()
    log.write_bytes(b"another file that is longer than the first\n")
    with followed(log, cursors=cursors) as tail:
        assert lines(tail) == [b"another file that is longer than the first"]
        assert tail.stats.lost == 1


def test_behind_a_link(log: Path) -> None:
    """Container logs: what a link leads to is rotated in another directory; then the link leads elsewhere."""
    links = log.parent / "containers"
    links.mkdir()
    link = links / "pod.log"
    link.symlink_to(log)
    with followed(links / "*.log") as tail:
        append(log, b"1\n")
        rotate(log, "auth.log.20240131-100000")
        append(log, b"2\n")
        found = blocks(tail)
        assert [(block.log, block.data) for block in found] == [(str(link), b"1\n"), (str(link), b"2\n")]
        append(log, b"3\n")
        append(log.with_name("1.log"), b"4\n")
        link.unlink()
        link.symlink_to(log.with_name("1.log"))
        assert sorted(lines(tail)) == [b"3", b"4"]


def test_a_file_that_gets_another_name(log: Path) -> None:
    """Names that are exchanged, or taken back, change nothing of what was read."""
    other = log.with_name("b.log")
    other.touch()
    with followed(log.with_name("*.log")) as tail:
        append(log, b"1\n")
        append(other, b"2\n")
        assert sorted(lines(tail)) == [b"1", b"2"]
        log.rename(log.with_name("c"))
        other.rename(log)
        log.with_name("c").rename(other)
        append(log, b"3\n")
        append(other, b"4\n")
        assert {(block.log, block.data) for block in blocks(tail)} == {(str(log), b"3\n"), (str(other), b"4\n")}
        rotate(log)
        append(log, b"5\n")
        assert lines(tail) == [b"5"]
        log.with_name("auth.log.1").rename(log)
        append(log, b"6\n")
        assert lines(tail) == [b"6"]
        assert sorted(tail.cursors()) == [str(log), str(other)]
