"""How the daemon waits: awake, or at rest."""

import asyncio
import os
import time

import pytest

from monitor.daemon.life import loop, rest
from monitor.daemon.life.pace import Pace
from monitor.daemon.life.rest import Rest, Woken, can_rest_long
from tests.support.native import extension


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    extension()
    monkeypatch.setattr(rest, "TICK_S", 0.1)


def test_an_unhurried_event_has_it_look_soon_and_only_once(pipe: tuple[int, int]) -> None:
    """However many come: they must not put the look off, nor be looked at in between."""
    read_end, write_end = pipe
    read: list[bytes] = []

    async def main() -> tuple[float, bool]:
        resting = Rest(running := asyncio.get_running_loop(), Pace())
        running.add_reader(read_end, lambda: read.append(os.read(read_end, 1)))
        began_s = running.time()
        for number in range(1, 50):
            running.call_at(began_s + number / 100, os.write, write_end, b"x")
        await resting.rest(60.0, lambda: None if read else [], lambda: {read_end})
        running.remove_reader(read_end)
        return running.time() - began_s, resting.take_woken().is_asked

    async def keep() -> None:
        results.append(await main())

    results: list[tuple[float, bool]] = []
    loop.run(keep())
    ((took_s, is_woken),) = results
    assert not is_woken
    assert 1 <= len(read) < 49
    assert took_s < 60


def test_events_that_call_for_nothing_cost_no_look(pipe: tuple[int, int]) -> None:
    """A line of the journal that no filter wants is read, and the rest lasts as long as it may."""
    read_end, write_end = pipe
    read: list[bytes] = []

    async def main() -> None:
        resting = Rest(running := asyncio.get_running_loop(), Pace())
        running.add_reader(read_end, lambda: read.append(os.read(read_end, 1)))
        for number in range(1, 10):
            running.call_later(number / 50, os.write, write_end, b"x")
        began_s = running.time()
        await resting.rest(0.5, list, lambda: {read_end})
        running.remove_reader(read_end)
        assert running.time() - began_s >= 0.5
        assert resting.take_woken() == Woken()

    loop.run(main())
    assert len(read) == 9


@pytest.mark.parametrize("has_looked", [True, False])
def test_a_hurried_event_ends_the_rest_and_is_told_once(has_looked: bool, pipe: tuple[int, int]) -> None:
    """Who takes it looks, unless that was done just now: then the event is handled, and the rest goes on."""
    read_end, write_end = pipe

    async def main() -> None:
        pace = Pace()
        resting = Rest(running := asyncio.get_running_loop(), pace)
        running.add_reader(read_end, lambda: os.read(read_end, 1))
        if has_looked:
            pace.is_due(time.monotonic(), has_news=False)
        running.call_later(0.01, os.write, write_end, b"x")
        await resting.rest(0.5 if has_looked else 60.0, tuple, tuple)
        assert resting.take_woken() == Woken(is_asked=not has_looked)
        assert resting.take_woken() == Woken()
        await resting.stay_awake()
        assert resting.take_woken() == Woken()
        running.remove_reader(read_end)

    loop.run(main())


def test_what_is_watched_ends_the_rest_and_nobody_asked(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        resting = Rest(asyncio.get_running_loop(), Pace())
        await resting.rest(60.0, lambda: [(pipe[0], 1)], tuple)
        assert resting.take_woken() == Woken(is_changed=True)

    loop.run(main())


def test_a_wake_that_comes_before_the_wait_ends_it() -> None:
    """As when the daemon is to stop while it works."""

    async def main() -> None:
        resting = Rest(asyncio.get_running_loop(), Pace())
        resting.wake()
        await resting.rest(60.0, tuple, tuple)

    began_s = time.monotonic()
    loop.run(main())
    assert time.monotonic() - began_s < 60


def test_other_loops_do_not_rest() -> None:
    """A wait on them is one second long at most."""

    async def main() -> None:
        resting = Rest(asyncio.get_running_loop(), Pace())
        assert not can_rest_long(asyncio.get_running_loop())
        await resting.rest(60.0, tuple, tuple)

    began_s = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began_s < 60


def test_a_rest_that_is_renewed_lasts_longer(pipe: tuple[int, int]) -> None:
    """Who looked meanwhile has it last from then on; where something is due soon, it is not put off."""
    read_end, write_end = pipe
    read: list[bytes] = []

    async def main() -> None:
        resting = Rest(running := asyncio.get_running_loop(), Pace())
        running.add_reader(read_end, lambda: read.append(os.read(read_end, 1)))
        began_s = running.time()
        running.call_later(0.1, resting.renew, 0.4)
        await resting.rest(0.2, tuple, tuple)
        assert running.time() - began_s >= 0.5
        resting.renew(60.0)
        running.call_later(0.01, resting.renew, 60.0)
        await resting.rest(rest.TICK_S, tuple, tuple)
        running.call_later(0.01, os.write, write_end, b"x")
        running.call_later(0.05, resting.renew, 60.0)
        await resting.rest(30.0, lambda: None if read else [], lambda: {read_end})
        running.call_later(0.01, resting.renew, 60.0)
        await resting.stay_awake()
        running.remove_reader(read_end)
        assert running.time() - began_s < 30

    loop.run(main())
