"""What the daemon says of the notifier: from the file that it writes, without waiting for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.notify_report import channel_line, is_well
from monitor.daemon.notify.watch import NotifyWatch
from monitor.notify.sections.base import ChannelSettings
from monitor.notify.state import STATE_NAME, ChannelState, NotifyState, notify_directory, write_state
from monitor.settings.schema import Settings, State
from tests.support.daemon import wait_for
from tests.support.notify import RecorderSettings


class _Watched:
    """A watch, its clock and the file that it reads."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.now_s = 10_000.0
        notify: Any = RecorderSettings(recorder={name: ChannelSettings() for name in names})
        self.path = notify_directory(directory) / STATE_NAME
        self.watch = NotifyWatch(Settings(state=State(directory=directory), notify=notify), lambda: self.now_s)

    def write(self, **more: Any) -> None:
        """Write a state as of now."""
        write_state(self.path, NotifyState(heartbeat_s=self.now_s, **more))

    def after(self, passed_s: float) -> list[str]:
        """Let time pass, have the file read, and return the problems."""
        self.now_s += passed_s
        self.watch.tick()
        wait_for(lambda: self.watch._reading is None or self.watch._reading.done(), "the file to be read")
        self.watch.tick()
        return [one.text for one in self.watch.problems()]


@pytest.fixture
def watched(tmp_path: Path) -> Any:
    """Yield what makes a watch of some channels."""
    made: list[_Watched] = []

    def make(*names: str) -> _Watched:
        made.append(_Watched(tmp_path, *names))
        return made[-1]

    yield make
    for one in made:
        one.watch.close()


def test_without_a_channel_nothing_is_asked(watched: Callable[..., _Watched]) -> None:
    """No thread, no problem, no metric, no line in `status`."""
    one = watched()
    assert one.after(10_000.0) == []
    assert (one.watch._worker, list(one.watch.samples()), one.watch.describe(), one.watch.parts()) == (None, [], [], [])


def test_a_notifier_that_does_not_run_is_a_problem(watched: Callable[..., _Watched]) -> None:
    """After two minutes without a heartbeat the daemon says that nobody is notified; a heartbeat ends that."""
    one = watched("mail")
    assert one.after(100.0) == []
    assert "does not run" in one.after(30.0)[0]
    one.write(channels={"mail": ChannelState(sent=3)})
    assert one.after(6.0) == []
    assert ("nodewarden_notify_messages_total", ("mail", "sent"), 3.0) in list(one.watch.samples())
    assert "does not run" in one.after(61.0)[0]
    assert [part.state for part in one.watch.parts()] == ["could be better"]
    assert "does not run" in channel_line(one.watch.describe()[0])


def test_a_channel_that_fails_for_five_minutes_is_a_problem(watched: Callable[..., _Watched]) -> None:
    """A short outage is none; the fault is named as the channel gave it."""
    one = watched("mail", "chat")
    failing = ChannelState(fault="refused by the server", fault_since_s=10_000.0, queued=4)
    for passed_s, count in ((200.0, 0), (101.0, 1)):
        one.write(channels={"mail": failing, "chat": ChannelState(), "gone": failing})
        one.now_s += passed_s
        one.write(channels={"mail": failing, "chat": ChannelState(), "gone": failing})
        problems = one.after(6.0)
        assert len(problems) == count
    assert problems == ["notifications by mail fail, 4 messages wait: refused by the server"]
    lines = [channel_line(described) for described in one.watch.describe()]
    assert lines[0].startswith("notifications by mail (recorder): 0 sent, 4 wait; fails since ")


def test_a_clock_that_was_set_back_hides_no_channel_that_fails(watched: Callable[..., _Watched]) -> None:
    """A fault of the future is one of before the clock was set, and not one that is still young."""
    one = watched("mail")
    one.now_s += 200.0
    one.write(channels={"mail": ChannelState(fault="refused", fault_since_s=one.now_s + 3e7, queued=4)})
    assert len(one.after(1.0)) == 1


def test_a_fault_of_the_notifier_is_a_problem(watched: Callable[..., _Watched]) -> None:
    """One that cannot follow the daemon, or save what waits, is of little use."""
    one = watched("mail")
    one.now_s += 200.0
    one.write(fault="the disk is full")
    assert one.after(1.0) == ["the notifier: the disk is full"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"heartbeat_s": "x"}', b'{"channels": {"a": 1}}', b"{" * 70_000])
def test_a_damaged_file_is_no_heartbeat(watched: Callable[..., _Watched], content: bytes) -> None:
    """No content of the file stops the daemon, or passes for a notifier that runs."""
    one = watched("mail")
    one.path.parent.mkdir(parents=True, exist_ok=True)
    one.path.write_bytes(content)
    assert "does not run" in one.after(200.0)[0]


def test_the_command_knows_what_is_well() -> None:
    """Nothing configured is well; no heartbeat, a fault, or a channel that fails is not."""
    good = NotifyState(heartbeat_s=100.0, channels={"mail": ChannelState()})
    assert is_well([], None, 100.0)
    assert is_well(["mail"], good, 110.0)
    assert not is_well(["mail"], None, 100.0)
    assert not is_well(["mail"], good, 200.0)
    bad = NotifyState(heartbeat_s=100.0, channels={"mail": ChannelState(fault="down")})
    assert not is_well(["mail"], bad, 110.0)
