"""The notifier at work: slow and dead channels, restarts of the daemon and its own, full queues."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.model.errors import NodewardenError
from monitor.notify import sender
from monitor.notify.channel import Again, Refused
from monitor.notify.journal import Journal
from monitor.notify.message import Kind
from monitor.notify.sections.base import ChannelSettings, Direction, EventKind
from monitor.notify.state import STATE_NAME, read_state
from monitor.notify.work import AWAY_S, Work
from tests.support.daemon import wait_for
from tests.support.notify import Peer, Recorder, RecorderSettings, ban, spool_path

ONE = RecorderSettings(recorder={"one": ChannelSettings()})


class Bench:
    """A notifier with a clock that tests set."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.peer, self.now_s, self.up_s = directory, Peer(), 10_000.0, 5.0
        self.works: list[Work] = []

    def start(self, settings: RecorderSettings = ONE) -> Work:
        """Start a notifier, which hears where the daemon is."""
        work = Work(settings, "node1", self.directory, self.peer.ask, lambda: self.now_s, lambda: self.up_s)
        work.start()
        work.round()
        self.works.append(work)
        return work

    def pass_s(self, work: Work, passed_s: float) -> None:
        """Let time pass."""
        self.now_s += passed_s
        self.up_s += passed_s
        work.round()

    def arrived(self, name: str, count: int) -> Recorder:
        """Wait for messages."""
        wait_for(lambda: name in Recorder.made and len(Recorder.made[name].messages) >= count, f"{count} in {name}")
        return Recorder.made[name]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Yield a bench whose pauses are short."""
    monkeypatch.setattr(sender, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(sender, "LONGEST_PAUSE_S", 0.02)
    Recorder.made, Recorder.prepared = {}, {}
    one = Bench(tmp_path)
    yield one
    for work in one.works:
        work.close()


def test_it_starts_with_what_is_new(bench: Bench) -> None:
    """What happened before the first start is no news; what happens then is."""
    bench.peer.happen([ban(n) for n in range(300)])
    work = bench.start()
    bench.peer.happen([ban(400)])
    work.round()
    (message,) = bench.arrived("one", 1).messages
    assert message.items[0].network == ban(400)["network"]


def test_a_restart_of_the_daemon_repeats_nothing(bench: Bench) -> None:
    """A daemon that restarts counts from 1 again; its restored bans are no events, and new ones are."""
    work = bench.start()
    bench.peer.happen([ban(n, f"d{n}") for n in range(5)])
    work.round()
    bench.arrived("one", 5)
    bench.peer.restart()
    work.round()
    bench.peer.happen([ban(9, "new")])
    work.round()
    assert [message.items[0].detector for message in bench.arrived("one", 6).messages][-1:] == ["new"]


def test_what_happens_while_it_is_away_is_sent_later(bench: Bench) -> None:
    """Events between two runs of the notifier are read from the daemon; nothing is sent twice."""
    work = bench.start()
    bench.peer.happen([ban(1, "a"), ban(2, "a")])
    work.round()
    bench.arrived("one", 1)
    work.close()
    Recorder.made.clear()
    bench.peer.happen([ban(3, "b"), ban(4, "a")])
    work = bench.start()
    assert [one.items[0].detector for one in bench.arrived("one", 1).messages] == ["b"]
    bench.pass_s(work, 400.0)
    digest = bench.arrived("one", 2).messages[-1]
    assert (digest.count, digest.is_digest) == (2, True)


def test_a_killed_notifier_loses_nothing(bench: Bench) -> None:
    """Without any chance to save, the next run asks for the events after those that were saved."""
    work = bench.start()
    bench.peer.happen([ban(n, f"d{n}") for n in range(20)])
    work._hear()  # it is killed here: what it heard is in memory only
    Recorder.made.clear()
    bench.start()
    assert {one.items[0].detector for one in bench.arrived("one", 20).messages} == {f"d{n}" for n in range(20)}


def test_a_killed_notifier_loses_nothing_that_the_daemon_forgot_meanwhile(bench: Bench) -> None:
    """The daemon restarts before the spool is written, too: what was heard is on disk, in order and only once."""
    work = bench.start()
    bench.peer.happen([ban(n, f"a{n}") for n in range(9)])
    work._hear()
    bench.peer.restart()
    bench.peer.happen([ban(1, "b")])
    work._hear()  # it is killed here
    bench.peer.restart()
    bench.peer.happen([ban(1, "c")])
    Recorder.made.clear()
    again = bench.start()
    expected = [*(f"a{n}" for n in range(9)), "b", "c"]
    assert [one.items[0].detector for one in bench.arrived("one", 11).messages] == expected
    again.close()
    Recorder.made.clear()
    bench.start()
    bench.peer.happen([ban(2, "d")])
    bench.works[-1].round()
    assert [one.items[0].detector for one in bench.arrived("one", 1).messages] == ["d"]


def test_what_the_spool_has_is_not_taken_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between writing the spool and forgetting what it has repeats nothing."""
    monkeypatch.setattr(Journal, "clear", lambda _: None)
    work = bench.start()
    bench.peer.happen([ban(1, "a")])
    work._hear()
    work._save(bench.now_s, is_last=True)
    bench.arrived("one", 1)
    work._save(bench.now_s, is_last=True)
    bench.peer.happen([ban(2, "b")])
    work._hear()  # it is killed here
    bench.peer.restart()
    Recorder.made.clear()
    bench.start()
    assert [one.items[0].detector for one in bench.arrived("one", 1).messages] == ["b"]


def test_events_that_are_gone_are_counted(bench: Bench) -> None:
    """What the daemon no longer keeps is in a message as a number, and in the state."""
    work = bench.start()
    bench.peer.happen([ban(1)])
    bench.peer.lost, bench.peer.events = 41, []
    bench.peer.happen([ban(2)])
    work.round()
    messages = bench.arrived("one", 2).messages
    assert [message.unseen for message in messages] == [41, 0]
    bench.pass_s(work, 10.0)
    state = read_state(bench.directory / STATE_NAME)
    assert state is not None
    assert state.unseen == 41


def test_a_channel_that_is_held_up_holds_up_no_other(bench: Bench) -> None:
    """While one channel never answers, the other gets everything, and the daemon is followed."""
    work = bench.start(RecorderSettings(recorder={"slow": ChannelSettings(), "fast": ChannelSettings()}))
    bench.peer.happen([ban(1, "a")])
    work.round()
    bench.arrived("slow", 1)
    Recorder.made["slow"].gate.clear()
    bench.peer.happen([ban(n, f"d{n}") for n in range(10)])
    work.round()
    bench.arrived("fast", 11)
    assert len(Recorder.made["slow"].messages) == 1
    Recorder.made["slow"].gate.set()
    bench.arrived("slow", 11)


def test_failures_are_tried_again_and_refusals_are_not(bench: Bench) -> None:
    """A failure for now is repeated until it works; a refusal or an internal fault costs its message only."""
    Recorder.prepared["one"] = [Again("down"), Again("busy", 0.01), None, Refused("no"), KeyError("secret"), None]
    work = bench.start()
    bench.peer.happen([ban(n, f"d{n}") for n in range(4)])
    work.round()
    recorder = bench.arrived("one", 2)
    assert [message.items[0].detector for message in recorder.messages] == ["d0", "d3"]
    bench.pass_s(work, 10.0)
    state = read_state(bench.directory / STATE_NAME)
    assert state is not None
    channel = state.channels["one"]
    assert (channel.sent, channel.refused, channel.lost, channel.queued, channel.fault) == (2, 2, 0, 0, "")


def test_a_fault_is_in_the_state_and_never_what_was_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state says since when a channel fails and why; of an internal fault only its type is shown."""
    Recorder.prepared["one"] = [KeyError("secret")] + [Again("the server is down")] * 10_000
    work = bench.start()
    bench.peer.happen([ban(n, f"d{n}") for n in range(3)])
    work.round()
    wait_for(lambda: work.notifier.lines[0].sender.state.fault == "the server is down", "the fault")
    bench.pass_s(work, 10.0)
    state = read_state(bench.directory / STATE_NAME)
    assert state is not None
    channel = state.channels["one"]
    assert (channel.fault_since_s, channel.queued, channel.refused) == (10_000.0, 2, 1)
    assert b"secret" not in (bench.directory / STATE_NAME).read_bytes()
    bench.now_s += 2 * 86_400
    assert (first := work.notifier.lines[0].outbox.first(0)) is not None
    assert not work.notifier.lines[0].sender._is_given_up(first), "the clock was set, and nothing is a day old"
    monkeypatch.setattr("monitor.notify.sender._TRIED_S", 0.0)
    wait_for(lambda: len(work.notifier.lines[0].outbox) == 0, "messages of a day ago to be given up")
    assert work.notifier.lines[0].sender.state.refused == 3


def test_a_full_queue_drops_the_oldest_and_says_so(bench: Bench) -> None:
    """Up to its bound nothing is lost; beyond it messages are counted, and the next one says how many events."""
    settings = RecorderSettings(recorder={"one": ChannelSettings(max_per_hour=1000)}, queue=10)
    work = bench.start(settings)
    bench.peer.happen([ban(0, "first")])
    work.round()
    recorder = bench.arrived("one", 1)
    recorder.gate.clear()
    bench.peer.happen([ban(n, f"d{n}") for n in range(30)])
    work.round()
    assert len(work.notifier.lines[0].outbox) == 10
    recorder.gate.set()
    messages = bench.arrived("one", 11).messages
    bench.pass_s(work, 10.0)
    state = read_state(bench.directory / STATE_NAME)
    assert state is not None
    assert state.channels["one"].lost == 20
    assert sum(message.count + message.unseen for message in messages) == 31


def test_what_waits_survives_a_restart(bench: Bench) -> None:
    """Messages in the queue of a channel that is down are sent by the next run."""
    Recorder.prepared["one"] = [Again("down")] * 10_000
    work = bench.start()
    bench.peer.happen([ban(n, f"d{n}") for n in range(5)])
    work.round()
    wait_for(lambda: work.notifier.lines[0].sender.state.fault == "down", "the fault")
    work.close()
    Recorder.made.clear()
    bench.start()
    assert len(bench.arrived("one", 5).messages) == 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"v": 1, "pending": 3}', b"\xff" * 100])
def test_an_unusable_spool_is_set_aside(bench: Bench, content: bytes) -> None:
    """A damaged file keeps the notifier from nothing but what was in it."""
    spool_path(bench.directory).write_bytes(content)
    work = bench.start()
    bench.peer.happen([ban(1)])
    work.round()
    bench.arrived("one", 1)
    assert (bench.directory / "spool.json.unusable").read_bytes() == content


def test_channels_get_what_they_asked_for(bench: Bench) -> None:
    """Kinds of events, detectors and sets choose; what is observed is off unless it is asked for."""
    work = bench.start(
        RecorderSettings(
            recorder={
                "all": ChannelSettings(),
                "observed": ChannelSettings(events=(EventKind.OBSERVE,)),
                "sshd": ChannelSettings(detectors=("sshd",), sets=(Direction.BAN,), events=(EventKind.BAN,)),
            },
            each={"single": ChannelSettings()},
        )
    )
    problem = {"event": "problem", "time_s": 1.0, "text": "no table"}
    bench.peer.happen([ban(1), ban(2, "nginx"), ban(3, set="shun"), ban(4, event="observe"), ban(5), problem])
    work.round()
    assert [one.items[0].detector for one in bench.arrived("all", 4).messages] == ["sshd", "nginx", "sshd", ""]
    assert [one.event["number"] for one in bench.arrived("observed", 1).messages] == [4]
    assert [one.event["number"] for one in bench.arrived("sshd", 1).messages] == [1]
    assert [one.event["number"] for one in bench.arrived("single", 4).messages] == [1, 2, 3, 5]


def test_a_daemon_that_is_away_is_a_problem(bench: Bench) -> None:
    """After two minutes without an answer people learn of it, once, and when it is over."""
    work = bench.start()
    bench.peer.fault = NodewardenError("nobody listens")
    work.round()
    for _ in range(3):
        bench.pass_s(work, AWAY_S)
    bench.peer.fault = None
    bench.pass_s(work, 1.0)
    messages = bench.arrived("one", 2).messages
    assert [message.kind for message in messages] == [Kind.PROBLEM, Kind.PROBLEM_OVER]


def test_a_clock_that_is_set_neither_hides_nor_invents_that_the_daemon_is_away(bench: Bench) -> None:
    """Two minutes are those that pass, not those that the clock jumps."""
    work = bench.start()
    bench.peer.fault = NodewardenError("nobody listens")
    work.round()
    bench.now_s += 1e6
    work.round()
    assert not work._is_away_known
    bench.now_s -= 1e9
    bench.pass_s(work, AWAY_S)
    assert [message.kind for message in bench.arrived("one", 1).messages] == [Kind.PROBLEM]


def test_a_full_disk_stops_no_message(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing can be saved, messages are sent nevertheless, and the state would say so."""
    work = bench.start()
    bench.directory.chmod(0o700)
    monkeypatch.setattr("monitor.notify.spool.replace_file", _full)
    monkeypatch.setattr("monitor.notify.work.write_state", _full)
    bench.peer.happen([ban(1)])
    work._spool._due_s = 0.0
    bench.pass_s(work, 10.0)
    bench.arrived("one", 1)
    assert "No space left" in work._spool.fault


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_burst_is_one_message_and_digests(bench: Bench) -> None:
    """Ten thousand bans in one go are a message and a digest, and none is lost."""
    work = bench.start()
    bench.peer.happen([ban(n) for n in range(10_000)])
    work.round()
    bench.pass_s(work, 400.0)
    messages = bench.arrived("one", 2).messages
    assert [message.count for message in messages] == [1, 9_999]
    assert threading.active_count() < 20
