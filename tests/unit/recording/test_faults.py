"""Whatever the disk does, the recording says so, leaves nothing behind, and continues by itself."""

import asyncio
import os
import threading
from pathlib import Path

import msgspec
import pytest

from monitor.daemon.life.recording import Recording as DaemonRecording
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.recording.reader import Recording
from monitor.recording.recorder import Recorder
from monitor.recording.ring import Ring, segments
from monitor.recording.settings import RecordingSettings
from monitor.recording.writer import Writer, Written
from monitor.settings.schema import Settings
from tests.support.policy import small_table
from tests.support.recordings import DAY_S, START_S, Clock, beginning, header, knocks, write_seconds, writer


def test_a_disk_that_fills_while_a_segment_is_opened_keeps_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt would leave a file otherwise, thousands a day."""
    clock, room = Clock(), 100
    one = writer(tmp_path / "ring", clock)
    original = os.write

    def write(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size + len(data) > room:
            raise OSError(28, os.strerror(28))
        return original(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        one.write(beginning())
        for _ in range(5):
            write_seconds(one, clock, 12)
            clock.now_s += 60.0
        assert one.state().trouble == os.strerror(28)
        assert segments(tmp_path / "ring") == []
    write_seconds(one, clock, 12)
    assert one.close().trouble == ""
    assert len(list(Recording(tmp_path / "ring").inputs())) > 12


def test_what_cannot_be_removed_is_passed_over(tmp_path: Path) -> None:
    """A directory under the name of a segment keeps neither newer segments from being written nor old ones."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock)
    one.write(beginning())
    write_seconds(one, clock, 12)
    one.close()
    (tmp_path / "ring" / "000000000000.segment").mkdir()
    for path in segments(tmp_path / "ring"):
        os.utime(path, (START_S - 8 * DAY_S, START_S - 8 * DAY_S))
    write_seconds(one, clock, 12)
    assert one.close().trouble == ""
    assert [path.name for path in segments(tmp_path / "ring")] == ["000000000000.segment", "000000000002.segment"]


def test_a_ring_that_stays_too_large_is_a_fault(tmp_path: Path) -> None:
    """The bound holds, whoever keeps files in the way."""
    in_the_way = tmp_path / "000000000001.segment"
    in_the_way.mkdir()
    ring = Ring(tmp_path, 10, DAY_S)
    current, descriptor = ring.create()
    os.close(descriptor)
    with pytest.raises(OSError, match=r"000000000001\.segment"):
        ring.prune(START_S, current)


def test_a_lower_limit_holds_with_the_next_frame(tmp_path: Path) -> None:
    """As after a reload: a new writer, whose ring is smaller."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    one.write(beginning(), known=[bytes([192, 0, 2, 7])])
    write_seconds(one, clock, 300, each=300)
    one.close()
    assert sum(path.stat().st_size for path in segments(tmp_path / "ring")) > 300_000
    less = writer(tmp_path / "ring", clock, max_bytes=200_000)
    less.write(beginning())
    write_seconds(less, clock, 12)
    state = less.close()
    assert sum(path.stat().st_size for path in segments(tmp_path / "ring")) <= 200_000
    assert state.ring_bytes <= 200_000


def test_a_disk_that_hangs_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes back that could say so; it is over when the disk answers."""
    hang, clock, original = threading.Event(), Clock(), Writer.write

    def write(one: Writer, *arguments: object) -> Written:
        hang.wait(10.0)
        return original(one, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "write", write)
    recorder = Recorder(header, clock=clock, wall=clock)
    recorder.start(tmp_path / "ring", RecordingSettings())
    recorder.take(knocks("192.0.2.1", 3, START_S))
    recorder.tick()
    assert recorder.trouble == ""
    clock.now_s += 30.0
    recorder.tick()
    assert recorder.trouble == "the disk has not answered for 30 s"
    hang.set()
    recorder.close(5.0)
    assert recorder.trouble == ""


def test_a_directory_that_nobody_can_look_into_does_not_keep_the_daemon_from_starting(tmp_path: Path) -> None:
    """Whether it was stopped by command is not known then; it is a problem, and a reload does not fail either."""
    directory = tmp_path / ("x" * 300)  # for root, too
    settings = msgspec.structs.replace(Settings(), state=msgspec.structs.replace(Settings().state, directory=directory))
    recording = DaemonRecording(settings)
    recording.open(Pipeline(settings, (), small_table), START_S)
    recording.reconfigure(msgspec.structs.replace(settings.recording, max_bytes=2_000_000), START_S + 1.0)
    state = asyncio.run(recording.order("start"))  # it has everything written first
    assert state["is_on"]
    assert "name too long" in state["trouble"]
    assert "name too long" in recording.problems()[0]
    recording.close()
