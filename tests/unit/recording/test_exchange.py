"""Recordings travel as single files, are checked when they come, and are summed up truthfully."""

import io
import os
import stat
from pathlib import Path

import msgspec
import pytest

from monitor.recording.bounds import RecordingError
from monitor.recording.exchange import export, find, named, store
from monitor.recording.inputs import Gap
from monitor.recording.reader import Recording
from monitor.recording.ring import segments
from monitor.recording.segments import VERSION
from monitor.recording.summary import summarize
from tests.support.recordings import START_S, Clock, beginning, header, write_seconds, writer


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Return a ring of several segments."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    one.write(beginning(), known=[bytes([192, 0, 2, 7])])
    write_seconds(one, clock, 200, each=300)
    one.close()
    assert len(segments(tmp_path / "ring")) > 2
    return tmp_path / "ring"


def _exported(ring: Path, path: Path) -> Path:
    with path.open("wb") as file:
        export(Recording(ring).inputs(), file, header(START_S))
    return path


def test_an_exported_file_is_the_recording(ring: Path, tmp_path: Path) -> None:
    """One file instead of many, with the same inputs."""
    path = _exported(ring, tmp_path / "one.recording")
    assert list(Recording(path).inputs()) == list(Recording(ring).inputs())


def test_an_imported_file_is_found_by_name(ring: Path, tmp_path: Path) -> None:
    """It is private, lies beside the ring, which does not take it for a segment, and replaces no other."""
    path = _exported(ring, tmp_path / "one.recording")
    summary = store(path, ring, "web-7")
    assert summary.events == {"packet_logged": 60_000}
    assert stat.S_IMODE(named(ring, "web-7").stat().st_mode) == 0o600
    assert list(find(ring, "web-7").inputs()) == list(Recording(path).inputs())
    assert not any("web-7" in segment.name for segment in find(ring).segments)
    with pytest.raises(RecordingError, match="is there already"):
        store(path, ring, "web-7")
    for name in ("", "../x", "a/b", ".hidden", "x" * 65):
        with pytest.raises(RecordingError, match="is no name"):
            store(path, ring, name)


@pytest.mark.parametrize("content", [b"", bytes(100), b"\x28\xb5\x2f\xfd" * 50], ids=["empty", "zeros", "zstd"])
def test_what_is_none_is_not_imported(ring: Path, tmp_path: Path, content: bytes) -> None:
    """Nothing is left behind."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RecordingError):
        store(tmp_path / "x", ring, "x")
    assert not named(ring, "x").exists()


def test_a_directory_with_foreign_files_is_no_recording(tmp_path: Path) -> None:
    """Only segments count; without any there is nothing to read."""
    (tmp_path / "000000000001.segment.bak").write_bytes(b"x")
    (tmp_path / "README").write_text("x")
    with pytest.raises(RecordingError, match="no recording"):
        Recording(tmp_path)


def test_a_foreign_file_named_as_a_segment_is_a_gap(ring: Path) -> None:
    """The others are read, and the recording says what is missing: files, pipes and other versions alike."""
    whole = summarize(Recording(ring))
    (ring / "000000000900.segment").write_bytes(b"nodewarden recording\n\x07\x00\x00\x00\x00\x00")
    os.mkfifo(ring / "000000000901.segment")
    found = summarize(Recording(ring))
    assert found.events == whole.events
    assert found.damaged == 2
    assert [gap["reason"] for gap in found.gaps] == [
        "segments are missing",
        f"000000000900.segment: it is of format version 7; this nodewarden reads version {VERSION}",
        "the end of a segment is missing",
        "000000000901.segment: it is no regular file",
    ]


def test_a_summary_counts_what_is_there(ring: Path) -> None:
    """Times, kinds, nodes, versions, starts; within a range only what is in it."""
    found = summarize(Recording(ring))
    assert (found.nodes, found.versions, found.starts, found.configurations) == (["node-1"], ["1.0"], 1, 1)
    assert (found.first_s, found.last_s) == (START_S, START_S + 199.9)
    assert (found.gaps_total, found.damaged, found.missing) == (0, 0, 0)
    assert summarize(Recording(ring), START_S + 10.0, START_S + 20.0).events == {"packet_logged": 3000}


def test_a_file_under_pseudonyms_says_so(ring: Path, tmp_path: Path) -> None:
    """Whoever compares it with real addresses must know; a ring with a foreign file is no obstacle."""
    path = tmp_path / "shared.recording"
    with path.open("wb") as file:
        export(Recording(ring).inputs(), file, msgspec.structs.replace(header(START_S), has_pseudonyms=True))
    assert summarize(Recording(path)).has_pseudonyms
    segments(ring)[0].write_bytes(b"something else")
    assert not Recording(ring).has_pseudonyms


def test_a_file_that_is_cut_off_says_so(ring: Path, tmp_path: Path) -> None:
    """Wherever it ends: what is left counts with a gap, or it is an error if nothing is left; never silently less."""
    path = _exported(ring, tmp_path / "one.recording")
    whole = path.read_bytes()
    inputs = len(list(Recording(path).inputs()))
    for size in (len(whole) - 1, len(whole) // 2, len(whole) // 8, 300, 60):
        path.write_bytes(whole[:size])
        try:
            *left, gap = Recording(path).inputs()
        except RecordingError as error:
            assert "cut off" in str(error) or "header" in str(error)
            continue
        assert isinstance(gap, Gap)
        assert gap.reason == "the file is cut off: its end is missing"
        assert 0 < len(left) < inputs


def test_a_name_that_is_none_lists_the_imported(ring: Path, tmp_path: Path) -> None:
    """For those who mistype it."""
    store(_exported(ring, tmp_path / "one.recording"), ring, "web-7")
    with pytest.raises(RecordingError, match="imported are web-7"):
        find(ring, "web7")


def test_an_export_ends_as_a_whole_segment() -> None:
    """An empty one, too, so that a reader finds nothing missing."""
    file = io.BytesIO()
    assert export([], file, header(1.0)) == 0
    assert len(file.getvalue()) > 60
