"""What others choose in log files and their names: nothing of it may cost more than a bound, or be believed."""

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.tail.lines import split_lines
from tests.support.tail import append, blocks, followed, lines, tick

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
        assert tail.problems == ["9488 log files are not followed: more than 512 match"]
        assert tail.stats.files == 512
        assert lines(tail) == []
        scanned_s = tail._scanned_s
        (tmp_path / "new.log").touch()
        assert lines(tail) == []
        assert tail._scanned_s == scanned_s
        assert tick(tail, 11)
        assert lines(tail) == []
        assert tail._scanned_s > scanned_s
        assert tail.problems == ["9489 log files are not followed: more than 512 match"]


def test_room_is_given_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file goes, one that had no room is followed; what it held until then is not new."""
    monkeypatch.setattr("monitor.sources.tail.files.MAX_FILES", 1)
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    first.write_bytes(b"old\n")
    with followed(tmp_path / "*.log") as tail:
        append(second, b"old\n")
        assert lines(tail) == []
        first.unlink()
        lines(tail)
        tick(tail, 6)
        append(second, b"new\n")
        assert lines(tail) in ([], [b"new"])
        append(second, b"newer\n")
        assert lines(tail)[-1:] == [b"newer"]
        assert list(tail.cursors()) == [str(second)]


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
