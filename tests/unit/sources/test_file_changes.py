"""Changes of files by inotify, on a directory of the test's own."""

import ctypes
import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.files import changes as file_changes
from monitor.files import inotify
from monitor.files.changes import FileChanges, decode_events, read_bounded


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[FileChanges]:
    """Yield the changes of a file, a directory and a file far down, none of which exist."""
    changes = FileChanges([tmp_path / "file", tmp_path / "directory", tmp_path / "far" / "down" / "file"])
    assert not changes.drain()
    yield changes
    changes.close()


def test_a_file_that_appears_changes_and_goes(followed: FileChanges, tmp_path: Path) -> None:
    """Creation, writing, replacement by rename and removal are all told; the descriptor wakes a waiting loop."""
    path = tmp_path / "file"
    path.write_text("1")
    assert select.select([followed], [], [], 1)[0]
    assert followed.drain()
    assert not followed.drain()
    path.write_text("2")
    assert followed.drain()
    (tmp_path / "new").write_text("3")
    assert not followed.drain()
    (tmp_path / "new").rename(path)
    assert followed.drain()
    path.write_text("4")
    assert followed.drain()
    path.unlink()
    assert followed.drain()


def test_any_entry_of_a_directory_counts(followed: FileChanges, tmp_path: Path) -> None:
    """A directory that appears is followed with all in it, also after it was replaced."""
    directory = tmp_path / "directory"
    for _ in range(2):
        directory.mkdir()
        assert followed.drain()
        (directory / "any").write_text("1")
        assert followed.drain()
        (directory / "any").write_text("2")
        assert followed.drain()
        (directory / "any").unlink()
        assert followed.drain()
        directory.rmdir()
        assert followed.drain()


def test_a_way_that_appears_step_by_step(followed: FileChanges, tmp_path: Path) -> None:
    """Each directory on the way is followed once it is there, and no longer once it was moved away."""
    way = tmp_path / "far" / "down"
    way.mkdir(parents=True)
    assert followed.drain()
    (way / "file").write_text("1")
    assert followed.drain()
    (way / "other").write_text("1")
    assert not followed.drain()
    (tmp_path / "far").rename(tmp_path / "away")
    assert followed.drain()
    (tmp_path / "away" / "down" / "file").write_text("2")
    assert not followed.drain()


def test_what_a_link_names_is_followed(tmp_path: Path) -> None:
    """A resolv.conf that links to another program's file changes with that file, however that is replaced."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    target = tmp_path / "run" / "resolv.conf"
    target.write_text("1")
    (tmp_path / "etc" / "resolv.conf").symlink_to("../run/resolv.conf")
    changes = FileChanges([tmp_path / "etc" / "resolv.conf"])
    target.write_text("2")
    assert changes.drain()
    (tmp_path / "run" / "new").write_text("3")
    (tmp_path / "run" / "new").rename(target)
    assert changes.drain()
    changes.close()


def test_lost_notifications_are_a_change(followed: FileChanges, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel's queue overflowed, anything may have changed."""
    overflow = inotify.EVENT.pack(-1, 0x4000, 0, 0)
    answers = iter([overflow])

    def read(descriptor: int, size: int) -> bytes:
        for answer in answers:
            return answer
        raise BlockingIOError

    monkeypatch.setattr(os, "read", read)
    assert followed.drain()


def test_without_inotify_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no inotify can be had, the descriptor stays silent, and the warning says why."""

    def fail() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(file_changes, "_init", fail)
    changes = FileChanges([tmp_path / "file"])
    (tmp_path / "file").write_text("1")
    assert not select.select([changes], [], [], 0)[0]
    assert not changes.drain()
    assert "inotify: Too many open files" in changes.warning
    changes.close()


def test_too_few_watches_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a watch is refused, the warning names the place."""

    def fail(descriptor: int, directory: str, mask: int) -> int:
        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(file_changes, "_add_watch", fail)
    changes = FileChanges([tmp_path / "file"])
    assert "changes below / are not detected" in changes.warning
    changes.close()


def test_reading_is_bounded(tmp_path: Path) -> None:
    """One byte more than the limit tells that there is more; what is no regular file is not read, nor waited for."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bounded(path, 10) == b"x" * 11
    assert read_bounded(path, 100) == b"x" * 100
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path / "fifo", tmp_path / "none", tmp_path, Path("/dev/zero")):
        assert read_bounded(other, 10) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_events(data: bytes) -> None:
    """Whatever is read, decoding ends and does not raise."""
    assert len(decode_events(data)) <= len(data) / 16
