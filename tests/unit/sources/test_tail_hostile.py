"""What others choose in log files and their names: nothing of it may cost more than a bound, or be believed."""

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.tail.lines import split_lines
from tests.support.tail import append, blocks, followed, lines, open_files, tick

LONGEST = 256


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give an empty log."""
    path = tmp_path / "auth.log"
    path.touch()
    return path


def reference(data: bytes, longest: int) -> list[tuple[bytes, bool]]:
    """Return the lines of `data` and whether they are cut, the slow way."""
    found = [line.lstrip(b"\0") for line in data.split(b"\n")[:-1]]
    return [(line[: longest - 1] + b"\n", len(line) >= longest) for line in found]


@given(
    st.lists(
        st.binary(max_size=12) | st.sampled_from([b"\n", b"\0", b"\0\n", b"x" * 7, b"x" * 8, b"x" * 30]), max_size=30
    )
)
def test_any_bytes_are_split(parts: list[bytes]) -> None:
    """Whole lines come out unchanged but for zeros before them and what is too long, which stands alone."""
    data = b"".join(parts)
    data = data[: data.rfind(b"\n") + 1]
    runs = split_lines(data, 8)
    found = [(line + b"\n", run.is_cut) for run in runs for line in run.data.split(b"\n")[:-1]]
    assert found == reference(data, 8)
    assert all(run.data.count(b"\n") == 1 for run in runs if run.is_cut)


@given(data=st.lists(st.binary(max_size=600) | st.just(b"\n") | st.just(b"\0" * 300), max_size=12))
def test_any_bytes_in_any_pieces(data: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    """However a file grows, the same lines come out as if it had been there at once."""
    path = tmp_path_factory.mktemp("log") / "log"
    with followed(path, max_line_bytes=LONGEST) as tail:
        found = []
        for piece in data:
            append(path, piece)
            found += blocks(tail, 1)
    handed = [(line + b"\n", block.is_cut) for block in found for line in block.data.split(b"\n")[:-1]]
    whole = b"".join(data)
    assert handed == reference(whole[: whole.rfind(b"\n") + 1], LONGEST)


@pytest.mark.parametrize("limit_bytes", [1, 1_000_000])
def test_a_line_that_is_too_long(log: Path, limit_bytes: int) -> None:
    """Its beginning is handed out, cut and not to be trusted; the lines around it are whole."""
    with followed(log, max_line_bytes=LONGEST) as tail:
        append(log, b"before\n" + b"x" * (LONGEST - 1) + b"\n" + b"y" * 1_000_000 + b"\nafter\n")
        found = blocks(tail, limit_bytes)
        trusted = b"".join(block.data for block in found if not block.is_cut)
        assert trusted == b"before\n" + b"x" * (LONGEST - 1) + b"\nafter\n"
        assert [block.data for block in found if block.is_cut] == [b"y" * (LONGEST - 1) + b"\n"]
        assert (tail.stats.cut_lines, tail.stats.untrusted, tail.stats.records) == (1, 1, 4)


def test_a_file_without_any_newline(log: Path) -> None:
    """A line without an end is passed over in bounded memory and bounded reads, and stays one line."""
    with followed(log) as tail:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        chunk = b"x" * 1_000_000
        for _ in range(50):
            append(log, chunk)
            assert tail.read() == []
            assert not tail.is_drained
        assert lines(tail) == []
        cursors = tail.cursors()
        append(log, b"y\nz\n")
        assert lines(tail) == [b"x" * 8191, b"z"]
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000
    with followed(log, cursors=cursors) as tail:
        assert lines(tail) == [b"x" * 8191, b"z"]


def test_a_start_in_the_midst_of_a_long_line(log: Path) -> None:
    """The end of a line whose beginning is out of reach is no line, not even after a restart."""
    append(log, b"x" * 1000)
    with followed(log, max_line_bytes=LONGEST) as tail:
        assert lines(tail) == []
        cursors = tail.cursors()
        append(log, b" Failed password from 192.0.2.1\nnext\n")
        assert lines(tail) == [b"next"]
    with followed(log, cursors=cursors, max_line_bytes=LONGEST) as tail:
        assert lines(tail) == [b"next"]


def test_an_end_without_a_newline_is_no_line(log: Path) -> None:
    """Half an address must not be taken for a whole one: what a file ends with is dropped, and counted."""
    with followed(log) as tail:
        append(log, b"1\nfrom 192.0.2.2")
        log.rename(log.with_name("auth.log.1"))
        append(log, b"0.1\n")
        assert lines(tail) == [b"1", b"0.1"]
        tick(tail, 6)
        assert tail.stats.lost_bytes == len(b"from 192.0.2.2")


def test_files_take_turns(tmp_path: Path) -> None:
    """A log that is flooded does not keep others waiting."""
    flooded, quiet = tmp_path / "a.log", tmp_path / "b.log"
    with followed(flooded, quiet) as tail:
        append(flooded, b"x" * 99 + b"\n")
        append(quiet, b"quiet\n")
        append(flooded, (b"x" * 99 + b"\n") * 100_000)
        found = tail.read()
        assert not tail.is_drained
        assert sum(len(block.data) for block in found) < 400_000
        assert b"quiet\n" in [block.data for block in found]


def test_too_many_files(tmp_path: Path) -> None:
    """Of 10,000 files that match, a bounded number is followed, and that is said; events do not cost a scan each."""
    for number in range(10_000):
        (tmp_path / f"{number}.log").touch()
    with followed(tmp_path / "*.log") as tail:
        assert len(tail.cursors()) == 512
        what = f"log files of {tmp_path}/*.log are not followed: more than 512 match; those written last are"
        assert tail.problems == [f"9488 {what}"]
        assert tail.stats.unfollowed_files == 9488
        assert tail.stats.files == 512
        assert lines(tail) == []
        scanned_s = tail._scanned_s
        (tmp_path / "new.log").touch()
        assert lines(tail) == []
        assert tail._scanned_s == scanned_s
        assert tick(tail, 11)
        assert lines(tail) == []
        assert tail._scanned_s > scanned_s
        assert tail.problems == [f"9489 {what}"]


def _written(path: Path, text: bytes, time_s: float) -> None:
    append(path, text)
    os.utime(path, (time_s, time_s))


def test_room_is_for_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one file, the one written last is followed; each continues where it was left, nothing is lost."""
    monkeypatch.setattr("monitor.sources.tail.files.MAX_FILES", 1)
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    _written(first, b"old\n", 1000.0)
    with followed(tmp_path / "*.log") as tail:
        _written(first, b"one\n", 1001.0)
        assert lines(tail) == [b"one"]
        _written(second, b"two\n", 1002.0)
        tick(tail, 61)
        assert lines(tail) == [b"two"]
        assert tail.changed_cursors().keys() == {str(first), str(second)}
        assert open_files(tmp_path) == 1
        _written(first, b"three\n", 1003.0)
        assert lines(tail) == []
        tick(tail, 122)
        assert lines(tail) == [b"three"]
        _written(second, b"four\n", 1004.0)
        first.unlink()
        tick(tail, 183)
        assert lines(tail) == [b"four"]
        assert tail.problems == []


def test_one_greedy_directory_takes_no_place_of_others(tmp_path: Path) -> None:
    """600 files that somebody makes where a pattern looks: other patterns, and other owners there, are followed."""
    app, others = tmp_path / "app", tmp_path / "others"
    app.mkdir()
    others.mkdir()
    for number in range(20):
        _written(others / f"{number}.log", b"", 1000.0)
    _written(app / "app.log", b"", 1000.0)
    with followed(app / "*.log", others / "*.log", tmp_path / "single.log") as tail:
        for number in range(600):
            _written(app / f"greedy{number}.log", b"x\n", 2000.0 + number)
            if os.geteuid() == 0:
                os.chown(app / f"greedy{number}.log", 1234, 1234)
        _written(tmp_path / "single.log", b"single\n", 1000.0)
        tick(tail, 61)
        assert b"single" in lines(tail)
        assert tail.stats.files == 512
        kept = set(tail.cursors())
        assert {str(others / f"{number}.log") for number in range(20)} <= kept
        assert (str(app / "app.log") in kept) == (os.geteuid() == 0)
        assert str(app / "greedy599.log") in kept
        assert str(app / "greedy0.log") not in kept
        assert tail.problems == [
            f"{622 - 512} log files of {app}/*.log are not followed: more than 512 match; those written last are"
        ]


def test_too_many_generations(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were rotated away faster than they are read are given up at a bound, and counted."""
    monkeypatch.setattr("monitor.sources.tail.files._MAX_RETIRED", 2)
    with followed(log) as tail:
        for number in range(4):
            append(log, b"%d\n" % number * 200_000)
            tail.read(1)
            log.rename(log.with_name(f"auth.log.{10 - number}"))
            log.touch()
        append(log, b"end\n")
        tail.read(1)
        tick(tail, 0)
        assert tail.stats.lost == 2
        assert tail.stats.lost_bytes > 500_000
        found = lines(tail)
        assert found[0] == b"2"
        assert set(found) == {b"2", b"3", b"end"}
