"""The recorder takes inputs at once, whatever the thread and the disk do, and says what is missing."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.recording import recorder as module
from monitor.recording.inputs import Events, Gap, Input, Ticked
from monitor.recording.reader import Recording
from monitor.recording.recorder import Recorder
from monitor.recording.settings import RecordingSettings
from monitor.recording.writer import Writer, Written
from tests.support.recordings import START_S, beginning, header, knocks

_SETTINGS = RecordingSettings(max_events_per_second=1_000_000)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """Return a recorder that records."""
    one = Recorder(header)
    one.start(tmp_path / "ring", _SETTINGS)
    yield one
    one.close(5.0)


def _settle(one: Recorder) -> None:
    """Wait until the thread is done with what it got."""
    deadline_s = time.monotonic() + 10.0
    while one._job is not None and time.monotonic() < deadline_s:
        one._job.exception(timeout=10.0)
        one._collect()


def _read(tmp_path: Path) -> list[Input]:
    return list(Recording(tmp_path / "ring").inputs())  # type: ignore[arg-type]


def test_what_was_taken_is_on_disk_after_closing(tmp_path: Path, recorder: Recorder) -> None:
    """Also what came after the last tick."""
    told = [*beginning(), knocks("192.0.2.1", 5000, START_S), Ticked(START_S + 1.0)]
    for one in told:
        recorder.take(one)
    recorder.tick()
    recorder.take(Ticked(START_S + 2.0))
    recorder.close(5.0)
    assert _read(tmp_path) == [*told, Ticked(START_S + 2.0)]


def test_ticks_alone_have_the_thread_woken_after_ten_seconds(tmp_path: Path) -> None:
    """What else came is handed over with the next tick, and is on disk as soon as ever; no tick is missing."""
    now_s = [100.0]
    one = Recorder(header, clock=lambda: now_s[0])
    one.start(tmp_path / "ring", _SETTINGS)
    told: list[Input] = [*beginning()]
    for first in told:
        one.take(first)
    jobs: list[float] = []

    def second(*inputs: Input) -> None:
        now_s[0] += 1.0
        for more in inputs:
            told.append(more)
            one.take(more)
        one.tick()
        if one._job is not None:
            jobs.append(now_s[0])
            _settle(one)

    second(Ticked(START_S))
    assert jobs == [101.0]
    for step in range(1, 10):
        second(Ticked(START_S + step))
    assert jobs == [101.0]
    second(Ticked(START_S + 10.0))  # when the frame is due
    assert jobs == [101.0, 111.0]
    assert one.total("written_bytes") > 0
    second(knocks("192.0.2.1", 1, START_S + 11.0), Ticked(START_S + 11.0))
    assert jobs[2:] == [112.0]
    for step in range(12, 22):
        second(Ticked(START_S + step))
    assert jobs[3:] == [122.0]
    assert one.total("written_events") == 1
    one.know(b"\xc0\0\2\1")
    second()
    assert jobs[4:] == [123.0]
    one.close(5.0)
    assert _read(tmp_path) == told


def test_a_thread_that_hangs_costs_events_of_the_recording_only(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded; what did not fit is counted and a gap in the recording, and taking never waits."""
    hang, original = threading.Event(), Writer.write

    def write(writer: Writer, *arguments: object) -> Written:
        hang.wait(10.0)
        return original(writer, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "write", write)
    for one in beginning():
        recorder.take(one)
    batch = knocks("192.0.2.1", 512, START_S)
    recorder.tick()
    for _ in range(200):
        recorder.take(batch)
    hang.set()
    _settle(recorder)
    recorder.tick()
    _settle(recorder)
    lost = recorder.lost()["queue"]
    assert 0 < lost < 200 * 512
    recorder.close(5.0)
    found = _read(tmp_path)
    assert sum(len(one.events) for one in found if isinstance(one, Events)) == 200 * 512 - lost
    assert [(one.where, one.count) for one in found if isinstance(one, Gap)] == [("queue", lost)]


def test_a_fault_of_our_own_is_counted_and_recording_goes_on(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new writer starts with what is in force."""
    for one in beginning():
        recorder.take(one)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", lambda *_: 1 / 0)
        recorder.take(knocks("192.0.2.1", 7, START_S))
        recorder.tick()
        _settle(recorder)
    assert recorder.lost() == {"queue": 0, "disk": 0, "fault": 7}
    assert "division" in recorder.fault
    recorder.take(knocks("192.0.2.1", 3, START_S))
    recorder.close(5.0)
    assert [type(one).__name__ for one in _read(tmp_path)] == ["Started", "Configured", "Surrounded", "Events"]
    assert recorder.total("written_events") == 3


def test_stopping_and_starting_makes_segments_of_their_own(tmp_path: Path, recorder: Recorder) -> None:
    """Nothing is taken in between, and totals add up."""
    for one in [*beginning(), knocks("192.0.2.1", 2, START_S)]:
        recorder.take(one)
    recorder.stop()
    recorder.take(knocks("192.0.2.1", 9, START_S))
    assert not recorder.is_on
    _settle(recorder)
    recorder.start(tmp_path / "ring", _SETTINGS)
    for one in [*beginning(), knocks("192.0.2.1", 4, START_S)]:
        recorder.take(one)
    recorder.close(5.0)
    assert [len(one.events) for one in _read(tmp_path) if isinstance(one, Events)] == [2, 4]
    assert recorder.total("written_events") == 6
