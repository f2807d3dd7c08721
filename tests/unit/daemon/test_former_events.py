"""A notifier hears how a run of the daemon ended also from the next run, each event once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.control.event_presentation import show_event, show_events
from monitor.daemon.notify.former_events import FormerEvents
from monitor.daemon.pipeline.event_stream import MAX_EVENTS, EventStream
from monitor.notify.following import Following
from monitor.notify.spool import Cursor


class Run:
    """A run of the daemon."""

    def __init__(self, path: Path, start_s: float) -> None:
        self.stream = EventStream(show_event, lambda: start_s)
        self.former = FormerEvents(path, self.stream)
        self.former.open()

    def happen(self, *texts: str) -> None:
        """Let problems appear."""
        self.stream.troubled(texts, [])

    def stop(self, *, is_wanted: bool = True) -> None:
        """End in order."""
        self.former.close(is_wanted=is_wanted)

    def ask(self, after: int, run: str = "") -> Mapping[str, Any]:
        """Answer as the daemon does."""
        if run and run != self.stream.name_of_run:
            return self.former.after(run, after)
        return show_events(self.stream, after, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where events are left."""
    return tmp_path / "former_events"


def _hear(run: Run, cursor: Cursor | None) -> tuple[list[str], int, Cursor | None]:
    """Follow from a cursor on; return the texts that were heard, how many events were lost, and the cursor then."""
    following = Following(run.ask, cursor)
    texts: list[str] = []
    lost = 0
    for _ in range(1000):
        before = following.cursor
        heard = following.next()
        texts += [event["text"] for event in heard.events]
        lost += heard.unseen
        if following.cursor == before:
            return texts, lost, following.cursor
    raise AssertionError("it never ends")


def test_what_was_not_heard_of_a_run_is_heard_from_the_next(path: Path) -> None:
    """After that what is new, and nothing twice, wherever it was killed in between."""
    first = Run(path, 1.0)
    first.happen("a")
    _, _, cursor = _hear(first, None)
    first.happen("b", "c")
    first.stop()
    second = Run(path, 2.0)
    second.happen("d")
    assert _hear(second, cursor)[0] == ["b", "c", "d"]
    assert _hear(second, Cursor(run=first.stream.name_of_run, last=3))[0] == ["d"]
    _, _, cursor = _hear(second, Cursor(run=second.stream.name_of_run, last=1))
    second.stop()
    assert _hear(Run(path, 3.0), cursor)[0] == []


def test_runs_that_end_soon_are_heard_in_order(path: Path) -> None:
    """While a notifier starts, the daemon may be restarted more than once."""
    cursor: Cursor | None = Cursor(run="0.500000", last=7)  # of a run that was killed, and left nothing
    for number in range(1, 4):
        run = Run(path, float(number))
        run.happen(f"{number} a", f"{number} b")
        run.stop()
    last = Run(path, 4.0)
    last.happen("4")
    texts, lost, cursor = _hear(last, cursor)
    assert texts == ["1 a", "1 b", "2 a", "2 b", "3 a", "3 b", "4"]
    assert lost == 0
    last.stop()
    again = Run(path, 5.0)
    again.happen("5")
    assert _hear(again, cursor)[0] == ["5"]


def test_a_run_before_the_one_that_was_heard_is_not_heard_again(path: Path) -> None:
    """The file stays when a daemon is killed that has read it."""
    first = Run(path, 1.0)
    first.happen("a")
    first.stop()
    killed = Run(path, 2.0)
    killed.happen("b")
    third = Run(path, 3.0)
    third.happen("c")
    assert _hear(third, Cursor(run=killed.stream.name_of_run, last=1))[0] == ["c"]
    assert _hear(Run(path, 4.0), Cursor(run="no number", last=1))[0] == ["a"]


def test_what_is_left_is_bounded_and_what_is_missing_counted(path: Path) -> None:
    """Runs together leave no more events than one keeps, the newest, and files that are no larger."""
    for number in (1, 2):
        run = Run(path, float(number))
        run.happen(*(f"{number}.{n}" for n in range(MAX_EVENTS - 1000)))
        run.stop()
    texts, lost, _ = _hear(Run(path, 3.0), Cursor(run="1.000000", last=0))
    assert MAX_EVENTS - 256 <= len(texts) <= MAX_EVENTS
    assert texts[-1] == f"2.{MAX_EVENTS - 1001}"
    assert len(texts) + lost == 2 * (MAX_EVENTS - 1000)
    assert path.stat().st_size < 4 << 20
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\xff" * 50, b"\x91\x93\xa31.0\x05\x91\x93\x05\x05\xc4\x03abc", b"\x91\x01"])
def test_a_damaged_file_costs_only_what_was_in_it(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The daemon starts, says so, and answers with its own events."""
    path.write_bytes(content)
    run = Run(path, 2.0)
    run.happen("a")
    assert _hear(run, Cursor(run="1.0", last=2))[0] == ["a"]
    assert any("former_events" in text for text in caplog.messages)


def test_only_a_daemon_that_was_opened_leaves_events_and_only_for_a_channel(path: Path) -> None:
    """One that is refused since another runs, or has a faulty configuration, replaces nothing."""
    run = Run(path, 1.0)
    run.happen("a")
    run.stop()
    content = path.read_bytes()
    FormerEvents(path, EventStream(show_event)).close(is_wanted=True)
    assert path.read_bytes() == content
    run.stop(is_wanted=False)
    assert not path.exists()
    run.stop(is_wanted=False)


def test_a_disk_that_fails_keeps_no_daemon_from_stopping(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    path.mkdir()
    run = Run(path, 1.0)
    run.stop()
    run.stop(is_wanted=False)
    assert sum("cannot be written" in text for text in caplog.messages) == 2


def test_a_clock_that_is_set_back_loses_no_run(path: Path) -> None:
    """The run after it has a name that is less."""
    first = Run(path, 10.0)
    first.happen("a")
    _, _, cursor = _hear(first, None)
    first.happen("b")
    first.stop()
    second = Run(path, 5.0)
    second.happen("c")
    second.stop()
    third = Run(path, 6.0)
    third.happen("d")
    assert _hear(third, cursor)[0] == ["b", "c", "d"]
