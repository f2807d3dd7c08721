"""The journal source: files that come, go, are damaged or may not be read."""

import os
import tempfile
from pathlib import Path

import pytest

from monitor.model.errors import ConfigError, PermanentError
from monitor.sources.journal.reader import Journal
from tests.support.journal import SSH, Log, drain, follow, text, until_readable


def test_files_come_and_go_without_a_leak(log: Log, opened: list[Journal]) -> None:
    """Over fifty files, each new one is followed and each deleted one is closed: the descriptors stay the same few."""
    opened.append(source := Journal(SSH, directory=log.directory))
    counts = []
    for number in range(50):
        log.write(f"m{number}", file=f"f{number}", live=True)
        assert follow(source, 1) == [b"m%d" % number]
        if number >= 2:
            (log.directory / f"f{number - 2}.journal").unlink()
            until_readable(source)
            drain(source)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert max(counts[5:]) <= counts[5]
    assert source.problems == []


def test_a_file_that_is_no_journal_is_told_and_the_others_are_read(log: Log, opened: list[Journal]) -> None:
    """Garbage and a file cut short are named as problems, counted, and gone from there once they are deleted."""
    log.write("x", file="short")
    os.truncate(log.directory / "short.journal", 1000)
    (log.directory / "garbage.journal").write_bytes(os.urandom(8192))
    opened.append(source := Journal(SSH, directory=log.directory))
    log.write("a", live=True)
    assert follow(source, 1) == [b"a"]
    (problem,) = source.problems
    assert "2 of 3 journal files" in problem
    assert "garbage.journal" in problem
    assert source.stats.unreadable_files == 2
    (log.directory / "garbage.journal").unlink()
    (log.directory / "short.journal").unlink()
    assert source.problems == []
    assert source.stats.unreadable_files == 0


@pytest.mark.parametrize("place", [0, 5, 10, 15, 19])
def test_damage_inside_a_file_loses_no_entry_of_another(log: Log, opened: list[Journal], place: int) -> None:
    """With a stretch of garbage in one file, all of the other is read, once each; libsystemd is silent, we say so."""
    opened.append(before := Journal(SSH, directory=log.directory))
    for number in range(20):
        log.write(*(f"bad {number} {index}" for index in range(20)), file="bad")
    log.write(*(f"good {index}" for index in range(100)), file="good")
    path = log.directory / "bad.journal"
    at = path.read_bytes().index(b"MESSAGE=bad %d 10" % place)
    with path.open("r+b") as file:
        file.seek(at - 64)
        file.write(b"\xa5" * 512)
    opened.append(source := Journal(SSH, cursor=before.cursor, directory=log.directory))
    messages = text(drain(source))
    assert [line for line in messages if line.startswith(b"good")] == [b"good %d" % index for index in range(100)]
    bad = [line for line in messages if line.startswith(b"bad")]
    assert len(set(bad)) == len(bad) < 400
    assert "1 of 3 journal files" in source.problems[0]
    assert "bad.journal" in source.problems[0]
    log.write("after", file="good", live=True)
    assert follow(source, 1) == [b"after"]


def test_what_is_missing_is_said_with_the_remedy(tmp_path: Path) -> None:
    """No directory, no permission and a wrong match are errors that say what to do."""
    with pytest.raises(PermanentError, match=r"no journal at .*start systemd-journald"):
        Journal(SSH, directory=tmp_path / "none")
    with pytest.raises(ConfigError, match="detector a: journal match 'x'"):
        Journal({"a": [["x"]]}, directory=tmp_path)
    with pytest.raises(ValueError, match="must be at least 256"):
        Journal(SSH, directory=tmp_path, max_line_bytes=255)


def test_a_journal_that_may_not_be_read_is_an_error() -> None:
    """Without the group systemd-journal, libsystemd would show an empty journal for ever; we say so instead."""
    with tempfile.TemporaryDirectory() as name:  # not below pytest's own directory, which only its owner may enter
        log = Log(Path(name))
        log.write("a")
        log.directory.chmod(0o755)
        (log.directory / "a.journal").chmod(0)
        uid = os.geteuid()
        os.seteuid(uid or 65534)
        try:
            with pytest.raises(PermanentError, match="group systemd-journal"):
                Journal(SSH, directory=log.directory)
        finally:
            os.seteuid(uid)
