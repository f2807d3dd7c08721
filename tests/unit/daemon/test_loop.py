"""The loop outlives errors of epoll_wait that pass, ends on one that does not, and rests while nothing happens."""

import asyncio
import contextlib
import os
import select
import selectors
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.life import loop
from monitor.daemon.life.loop import SteadyLoop, SteadySelector
from monitor.native import Watched
from tests.support.native import extension


class _Faulty:
    """Has the kernel's answer fail a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.left = times
        real = selectors.EpollSelector.select

        def select(selector: selectors.EpollSelector, timeout: float | None = None) -> object:
            if self.left > 0:
                self.left -= 1
                raise OSError(12, "Cannot allocate memory")
            return real(selector, timeout)

        monkeypatch.setattr(selectors.EpollSelector, "select", select)


def test_errors_that_pass_are_survived(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    """Timers run meanwhile, and a descriptor that became readable is reported afterwards."""
    read_end, write_end = pipe
    seen: list[bytes] = []

    async def main() -> None:
        asyncio.get_running_loop().add_reader(read_end, lambda: seen.append(os.read(read_end, 10)))
        faulty = _Faulty(monkeypatch, 3)
        os.write(write_end, b"x")
        while not seen:
            await asyncio.sleep(0.001)
        assert faulty.left == 0
        asyncio.get_running_loop().remove_reader(read_end)

    loop.run(main())
    assert seen == [b"x"]


def test_an_error_that_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that hears nothing for twenty seconds ends, so that systemd starts another."""
    now_s = 0.0

    def pause(pause_s: float) -> None:
        nonlocal now_s
        now_s += 1.0

    selector = SteadySelector(lambda: now_s, pause)
    _Faulty(monkeypatch, float("inf"))
    for _ in range(20):
        assert selector.select(0) == []
    with pytest.raises(OSError, match="memory"):
        selector.select(0)
    selector.close()


class _Sleeper:
    """Notes what ends a rest, and what it hears of meanwhile."""

    def __init__(self, watched: list[Watched], unhurried: set[int]) -> None:
        self.known: Sequence[Watched] | None = watched
        self._unhurried = unhurried
        self.happened: list[str] = []
        self.over = asyncio.Event()
        self.has_looked = False

    def watched(self) -> Sequence[Watched] | None:
        return self.known

    def unhurried(self) -> Collection[int]:
        return self._unhurried

    def is_current(self) -> bool:
        return self.has_looked

    def woken(self, *, is_asked: bool) -> None:
        self.happened.append("asked" if is_asked else "woken")
        self.over.set()

    def touched(self) -> None:
        self.happened.append("touched")


def _rest(
    watched: list[Watched], seconds: float, *, is_hurried: bool | None = None, has_looked: bool = False
) -> list[str]:
    """Rest on a steady loop for at most so long; return what happened, in order, also with an event if there is one."""
    read_end, write_end = os.pipe()
    happened: list[str] = []

    async def main() -> None:
        nonlocal happened
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)
        sleeper = _Sleeper(watched, set() if is_hurried else {read_end})
        happened, sleeper.has_looked = sleeper.happened, has_looked
        running.add_reader(read_end, lambda: happened.append(os.read(read_end, 10).decode()))
        running.rest(sleeper)
        timer = running.call_later(seconds, sleeper.over.set)
        if is_hurried is not None:
            running.call_later(0.02, os.write, write_end, b"event")
        await sleeper.over.wait()
        timer.cancel()
        happened.append("looked around")
        while is_hurried and "event" not in happened:
            await asyncio.sleep(0.001)
        running.remove_reader(read_end)

    loop.run(main())
    os.close(read_end)
    os.close(write_end)
    return happened


@pytest.mark.parametrize("is_native", [True, False])
def test_who_rests_looks_around_before_what_woke_it_is_handled(
    is_native: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event stays in the kernel meanwhile, and is reported afterwards; timers alone wake nobody."""
    if not is_native:
        monkeypatch.setattr(loop, "extension", None)
    with contextlib.closing(SteadyLoop()) as running:
        assert running.is_looking == is_native
    assert _rest([], 5.0, is_hurried=True) == ["asked", "looked around", "event"]


def test_who_asks_after_a_look_is_answered_at_once() -> None:
    """The next one, and each step of a conversation; the rest goes on."""
    assert _rest([], 0.2, is_hurried=True, has_looked=True) == ["touched", "event", "looked around"]


def test_unhurried_events_are_handled_at_once() -> None:
    """The rest goes on."""
    assert _rest([], 0.2, is_hurried=False) == ["touched", "event", "looked around"]


def test_what_threads_hand_over_ends_no_rest() -> None:
    """As a comparison of the table that found nothing; then the sleeper is asked whether there is something to do."""
    sleeper = _Sleeper([], set())

    async def main() -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)
        running.rest(sleeper)
        assert await asyncio.to_thread(lambda: 7) == 7
        assert "asked" not in sleeper.happened
        assert "touched" in sleeper.happened
        sleeper.known = None
        await asyncio.sleep(0.05)
        assert sleeper.happened[-1] == "woken"

    loop.run(main())


@pytest.mark.parametrize("grows", [True, False])
def test_what_wakes_nobody_ends_the_rest_within_a_second(
    grows: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that grows without a notification, as on network file systems; one that does not has it go on."""
    monkeypatch.setattr(loop, "_LOOK_S", 0.05)
    with (tmp_path / "log").open("wb", buffering=0) as file:
        if grows:
            file.write(b"line\n")
        happened = _rest([(file.fileno(), 0)], 0.2)
    assert happened == (["woken"] * grows + ["looked around"])


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("known", [None, [(0, b"")]])
def test_what_a_timer_leaves_to_do_ends_the_rest(
    is_native: bool, known: list[Watched] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers wake nobody, but what they did may call for a tick; so does what cannot be looked at, and no loop ends."""
    if not is_native:
        monkeypatch.setattr(loop, "extension", None)
    sleeper = _Sleeper([], set())

    async def main() -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)
        running.rest(sleeper)
        running.call_later(0.05, setattr, sleeper, "known", known)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sleeper.over.wait(), 0.5)

    loop.run(main())
    assert sleeper.happened == (["woken"] if is_native or known is None else [])


def test_what_cannot_be_looked_at_has_it_look_each_second_and_not_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds nothing to do, and rests again, would otherwise use a whole core."""
    extension()
    monkeypatch.setattr(loop, "_LOOK_S", 0.1)
    began_s = time.monotonic()
    assert _rest([(0, b"")], 5.0) == ["woken", "looked around"]
    assert time.monotonic() - began_s >= 0.1


def test_a_closed_map_or_file_ends_the_rest() -> None:
    """What cannot be looked at counts as changed: a tick finds out why."""
    wait = extension().wait_quietly
    with contextlib.closing(select.epoll()) as epoll:
        descriptor = os.dup(epoll.fileno())
        os.close(descriptor)
        for known in (0, bytes(16)):
            assert wait(epoll.fileno(), 5.0, 0.01, 0.01, _offset_s(), [(descriptor, known)]) == 1
        assert wait(epoll.fileno(), 0.05, 0.01, 0.01, _offset_s(), []) == 2


def test_a_clock_that_was_set_ends_the_rest() -> None:
    """Also if that was while the loop was busy: what the clock was ahead is that of the beginning."""
    wait = extension().wait_quietly
    with contextlib.closing(select.epoll()) as epoll:
        for step_s in (-1.0, 1.0):
            assert wait(epoll.fileno(), 5.0, 0.01, 0.01, _offset_s() + step_s, []) == 1


@pytest.mark.parametrize("grows", [True, False])
def test_events_put_no_look_off(grows: bool, tmp_path: Path, pipe: tuple[int, int]) -> None:
    """One that is due comes before an event, and none before it is due: what is watched is seen however many come."""
    wait = extension().wait_quietly
    read_end, write_end = pipe
    os.write(write_end, b"x")
    with contextlib.closing(select.epoll()) as epoll, (tmp_path / "log").open("wb", buffering=0) as file:
        epoll.register(read_end, select.EPOLLIN)
        if grows:
            file.write(b"line\n")
        watched = [(file.fileno(), 0)]
        assert wait(epoll.fileno(), 60.0, 60.0, 60.0, _offset_s(), watched) == 0
        for first_s in (0.0, -5.0):
            assert wait(epoll.fileno(), 60.0, 60.0, first_s, _offset_s(), watched) == (1 if grows else 2)


def test_what_is_watched_is_seen_between_many_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    """Lines of a journal that come more often than it looks, and end no rest."""
    monkeypatch.setattr(loop, "_LOOK_S", 0.05)
    read_end, write_end = pipe

    async def main() -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)

        def again() -> None:
            os.read(read_end, 10)
            running.call_later(0.005, os.write, write_end, b"x")

        with (tmp_path / "log").open("wb", buffering=0) as file:
            file.write(b"line\n")
            sleeper = _Sleeper([(file.fileno(), 0)], {read_end})
            running.add_reader(read_end, again)
            os.write(write_end, b"x")
            running.rest(sleeper)
            async with asyncio.timeout(30):
                await sleeper.over.wait()
            running.remove_reader(read_end)
            assert sleeper.happened[-1] == "woken"

    loop.run(main())


def _offset_s() -> float:
    return time.time() - time.monotonic()


@pytest.mark.parametrize(
    ("look_s", "watched"),
    [
        *((look_s, ()) for look_s in (0.0, -1.0, float("nan"), float("inf"))),
        *((1.0, [one]) for one in (7, (7,), (7, None), (7, b""), (7, bytes(65)), ("7", 1), (7, 1 << 64))),
    ],
)
def test_the_extension_refuses_what_it_cannot_look_at(look_s: float, watched: Any) -> None:
    """Whatever it is given, it raises, and reads and writes nothing beyond it."""
    with pytest.raises((TypeError, ValueError, OverflowError)):
        extension().wait_quietly(0, 0.01, look_s, 0.01, 0.0, watched)


@pytest.mark.parametrize(("first_s", "offset_s"), [(float("nan"), 0.0), (float("inf"), 0.0), (0.01, float("nan"))])
def test_the_extension_refuses_times_that_are_none(first_s: float, offset_s: float) -> None:
    with pytest.raises(ValueError, match="a look"):
        extension().wait_quietly(0, 0.01, 1.0, first_s, offset_s, ())
