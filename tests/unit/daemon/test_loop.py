"""The loop outlives errors of epoll_wait that pass, ends on one that does not, and rests while nothing happens."""

import asyncio
import contextlib
import os
import select
import selectors
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


def test_errors_that_pass_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers run meanwhile, and a descriptor that became readable is reported afterwards."""
    read_end, write_end = os.pipe()
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
    os.close(read_end)
    os.close(write_end)
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


def _rests(watched: list[Watched], seconds: float) -> tuple[list[str], float]:
    """Rest on a steady loop for at most so long; return what happened, in order, and when it was woken."""
    happened: list[str] = []
    read_end, write_end = os.pipe()

    async def main() -> float:
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)
        woken = asyncio.Event()
        running.add_reader(read_end, lambda: happened.append(os.read(read_end, 10).decode()))
        began_s = running.time()

        def note() -> None:
            happened.append("woken")
            woken.set()

        running.rest(lambda: watched, note)
        if not watched:
            running.call_later(0.02, os.write, write_end, b"event")
        timer = running.call_later(seconds, woken.set)
        await woken.wait()
        timer.cancel()
        happened.append("looked around")
        took_s = running.time() - began_s
        while not watched and "event" not in happened:  # it ends: the timer above has written
            await asyncio.sleep(0.001)
        running.remove_reader(read_end)
        return took_s

    async def keep() -> None:
        took.append(await main())

    took: list[float] = []
    loop.run(keep())
    os.close(read_end)
    os.close(write_end)
    return happened, took[0]


def test_who_is_woken_looks_around_before_what_woke_it_is_handled() -> None:
    """The event stays in the kernel meanwhile, and is reported afterwards; timers alone wake nobody."""
    happened, _ = _rests([], 5.0)
    assert happened == ["woken", "looked around", "event"]


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
        happened, _ = _rests([(file.fileno(), 0)], 0.2)
    assert happened == (["woken"] * grows + ["looked around"])


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("watched", [None, [(0, b"")]])
def test_what_a_timer_leaves_to_do_ends_the_rest(
    is_native: bool, watched: list[Watched] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers wake nobody, but what they did may call for a tick; so does what cannot be looked at, and no loop ends."""
    if not is_native:
        monkeypatch.setattr(loop, "extension", None)
    known: list[Watched] | None = []

    def change() -> None:
        nonlocal known
        known = watched

    async def main() -> None:
        running = asyncio.get_running_loop()
        assert isinstance(running, SteadyLoop)
        woken = asyncio.Event()
        running.rest(lambda: known, woken.set)
        running.call_later(0.05, change)
        if is_native or watched is None:
            await asyncio.wait_for(woken.wait(), 0.5)

    loop.run(main())


def test_without_the_native_extension_others_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop says so, and an event still wakes it in the same order."""
    monkeypatch.setattr(loop, "extension", None)
    with contextlib.closing(SteadyLoop()) as running:
        assert not running.is_looking
    happened, _ = _rests([], 5.0)
    assert happened == ["woken", "looked around", "event"]


def test_a_closed_map_or_file_ends_the_rest() -> None:
    """What cannot be looked at counts as changed: a tick finds out why."""
    wait = extension().wait_quietly
    with contextlib.closing(select.epoll()) as epoll:
        descriptor = os.dup(epoll.fileno())
        os.close(descriptor)
        for known in (0, bytes(16)):
            assert wait(epoll.fileno(), 5.0, 0.01, [(descriptor, known)])
        assert not wait(epoll.fileno(), 0.05, 0.01, [])


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
        extension().wait_quietly(0, 0.01, look_s, watched)
