"""What all sources share: turns, trouble, cursors. The sources here are pipes, read on a real loop."""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from monitor.model.errors import PermanentError
from monitor.model.problems import ProblemKind
from monitor.model.retry import Backoff
from monitor.state.saver import Saver
from tests.unit.daemon.runner_support import BATCH, PipeRunner, until


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    """Return an open saver."""
    saver = Saver(tmp_path / "nodewarden.db")
    assert saver.open()
    yield saver
    saver.close()


@pytest.fixture
def made() -> Iterator[list[PipeRunner]]:
    """End the runners that a test made."""
    runners: list[PipeRunner] = []
    yield runners
    for one in runners:
        one.end()


def ignore(events: Iterable[str]) -> None:
    """Take events and do nothing with them."""


def test_two_busy_sources_take_turns(saver: Saver, made: list[PipeRunner]) -> None:
    """Each has hundreds of events waiting, and neither has more than its share before the other's next batch."""
    order: list[str] = []

    async def run() -> None:
        for name in "ab":
            one = PipeRunner(saver, lambda events: order.extend(set(events)))
            made.append(one)
            one.write(name * 500)
            one.open()
        for one in made:
            one.attach(asyncio.get_running_loop())
        await until(lambda: all(one.stats.records == 500 for one in made))
        for one in made:
            one.close()

    asyncio.run(run())
    assert sorted(order) == ["a"] * 50 + ["b"] * 50
    assert "aaa" not in "".join(order)
    assert "bbb" not in "".join(order)


def test_what_waited_before_the_loop_is_read(saver: Saver, made: list[PipeRunner]) -> None:
    """Sources that wake nobody for what is there already are read once when the loop begins, and again when woken."""
    seen: list[str] = []

    async def run() -> None:
        one = PipeRunner(saver, seen.extend)
        made.append(one)
        one.write("abc")
        one.open()
        one.attach(asyncio.get_running_loop())
        await asyncio.sleep(0)
        assert seen == ["a", "b", "c"]
        one.write("d")
        await until(lambda: seen[3:] == ["d"])
        one.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [PermanentError("no pipe: lay one"), OSError(2, "no pipe: lay one"), ValueError("no pipe: lay one")],
    ids=lambda error: type(error).__name__,
)
def test_a_source_that_cannot_be_opened_does_not_stop_the_start(
    error: Exception,
    saver: Saver,
    made: list[PipeRunner],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is down in status and metrics, logged once, and opened as soon as a later attempt works."""
    caplog.set_level(logging.INFO)
    one = PipeRunner(saver, ignore)
    made.append(one)
    one.missing = error
    one.open()
    one.tick()
    assert one.problems() == ["reading the pipe failed: no pipe: lay one"]
    assert one.describe()["state"] == "down"
    assert ("nodewarden_source_up", ("pipe",), 0.0) in list(one.samples())
    one.missing = None
    one.tick()
    assert one.describe()["state"] == "down"  # it is not time yet
    one._backoff = Backoff(0.0, 0.0)
    one.missing = error
    one.tick()
    one.missing = None
    one.tick()
    assert (one.problems(), one.describe()["state"]) == ([], "up")
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_source_that_fails_is_opened_again(saver: Saver, made: list[PipeRunner]) -> None:
    """An error while reading closes it, says so, and the next attempt goes on behind it."""
    seen: list[str] = []

    async def run() -> None:
        one = PipeRunner(saver, seen.extend)
        one._backoff = Backoff(0.0, 0.0)
        made.append(one)
        one.open()
        one.attach(asyncio.get_running_loop())
        one.write("a\n")
        await until(one.problems)
        assert one.problems() == ["reading the pipe failed: Input/output error"]
        one.write("b")
        one.tick()
        await until(lambda: seen == ["b"])
        assert one.problems() == []
        one.close()

    asyncio.run(run())


def test_a_cursor_is_saved_after_what_lies_before_it(saver: Saver, made: list[PipeRunner]) -> None:
    """While events are processed no cursor behind them is pending; afterwards it is, and the next start knows it."""
    pending: list[int] = []

    def process(events: Iterable[str]) -> None:
        pending.append(saver.pending)

    async def run() -> None:
        one = PipeRunner(saver, process)
        made.append(one)
        one.write("abc")
        one.open()
        one.attach(asyncio.get_running_loop())
        await until(lambda: pending)
        one.tick()
        assert (pending, saver.pending) == ([0], 1)
        one.write("d")
        await until(lambda: len(pending) == 2)
        one.close()

    asyncio.run(run())
    assert saver.flush()
    following = PipeRunner(saver, ignore)
    made.append(following)
    following.open()
    assert following.position == 4


def test_losses_are_a_problem_for_a_while(
    saver: Saver, made: list[PipeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost record shows in the problems, and no longer once ten minutes are over."""
    one = PipeRunner(saver, ignore)
    made.append(one)
    one.open()
    assert one.losses() == []
    one.write("aX")
    one._readable()
    one.tick()
    assert one.losses() == one.by_kind()[ProblemKind.RECORDS_LOST] == ["1 records are lost"]
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 601.0)
    assert one.losses() == []


def test_a_source_that_is_closed_is_not_read_again(saver: Saver, made: list[PipeRunner]) -> None:
    """Closing forgets the turn that was due."""
    seen: list[str] = []

    async def run() -> None:
        one = PipeRunner(saver, seen.extend)
        made.append(one)
        one.write("a" * 100)
        one.open()
        one.attach(asyncio.get_running_loop())
        await until(lambda: len(seen) == BATCH)
        one.close()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert len(seen) == BATCH


def test_a_source_that_rests_is_read_only_when_there_is_something(saver: Saver, made: list[PipeRunner]) -> None:
    """Reading it after each rest would wake an idle daemon a hundred times a second, and fill its recording."""

    class Resting(PipeRunner):
        rest_s = 0.0001

    seen: list[str] = []
    reads: list[None] = []

    def process(events: Iterable[str]) -> None:
        reads.append(None)
        seen.extend(events)

    async def run() -> None:
        one = Resting(saver, process)
        made.append(one)
        one.open()
        one.attach(asyncio.get_running_loop())
        await until(lambda: bool(reads))
        for text in ("a", "b"):
            known = len(reads)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert len(reads) == known
            one.write(text)
            await until(lambda: bool(seen) and seen[-1] == text)  # noqa: B023 - awaited here
        one.close()

    asyncio.run(run())
    assert seen == ["a", "b"]
