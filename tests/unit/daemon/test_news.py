"""What is news to a daemon, what has it rest, and for how long."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from monitor.daemon.life import loop, pace, rest
from monitor.daemon.life.pace import CURRENT_S
from monitor.daemon.life.rest import TICK_S, Rest, Woken
from monitor.daemon.life.service import Service
from monitor.model.flows import FlowBatch
from monitor.settings.load import load
from tests.support.native import extension
from tests.unit.config.support import write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration with one detector."""
    return write(tmp_path, f"state: {{directory: {tmp_path}}}\ndetectors: {{port_scan: {{mode: observe}}}}\n")


def fail() -> None:
    """Fail as the kernel makes one fail."""
    raise OSError(24, "Too many open files")


def _has_news(service: Service) -> bool:
    return service._news()[1]


def test_sources_that_are_due_have_a_tick_of_their_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is asked; the others and all else wait, unless one has a problem: that is to be reported."""

    async def run() -> None:
        service = Service(path, load(path))
        sources = service._sources
        first, *others = sources._runners
        for one in others:
            monkeypatch.setattr(one, "has_news", lambda: False)
        for has_news, problems in ((False, []), (True, []), (True, ["it is gone"])):
            monkeypatch.setattr(first, "has_news", lambda has_news=has_news: has_news)
            monkeypatch.setattr(first, "problems", lambda problems=problems: problems)
            due, is_news = service._news()
            assert set(due) == ({f"the source {first.name}"} if has_news else set())
            assert is_news == bool(problems)
            assert set(due) <= set(sources.tick_parts())
        await service.close()

    asyncio.run(run())


def test_news_are_what_happens_or_is_wrong(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs, problems, what waits for a tick, a fault of our own: each has a full tick."""

    async def run() -> None:
        service = Service(path, load(path))
        assert not _has_news(service)
        service.pipeline.forget_refused(1000.0)
        assert _has_news(service)
        service._changes_known = service._changes_total
        assert not _has_news(service)
        service.pipeline.process([FlowBatch(1000.0, ended=[(None, 7, None)])], 1000.0)
        assert not _has_news(service)
        for batch in (FlowBatch(1001.0, completions=1), FlowBatch(1002.0, has_gap=True)):
            service.pipeline.process([batch], batch.time_s)
            assert _has_news(service)
            service._changes_known = service._changes_total
        for waiting in (service._decision_log, service._trial, service._elsewhere):
            name = "is_waiting" if hasattr(waiting, "is_waiting") else "has_news"
            name = "is_running" if hasattr(waiting, "is_running") else name
            with monkeypatch.context() as changed:
                changed.setattr(type(waiting), name, True)
                assert _has_news(service)
        for part, name in (
            (service.pipeline.table, "needs_repair"),
            (service.pipeline.bans, "has_lost"),
            (service._files, "has_news"),
            (service._saver, "has_news"),
        ):
            with monkeypatch.context() as changed:
                changed.setattr(type(part), name, True)
                assert _has_news(service)
                assert service._watched() is None
        service._surroundings.readings_total += 1
        assert _has_news(service)
        service._changes_known = service._changes_total
        assert service._watched() is not None
        service._scrapers.has_news = True
        assert _has_news(service)
        service._scrapers.tick()
        assert not _has_news(service)
        service._problems.changes(["something is wrong"])
        assert _has_news(service)
        service._problems.changes([])
        assert service._watched() is not None
        for name, told in (("due_parts", "looking for news"), ("watched", "looking for what to watch")):
            monkeypatch.setattr(service._sources, name, fail)
            assert _has_news(service)
            assert service._watched() is None
            assert any(text.startswith(f"{told} failed") for text in service._health.problems()) or name == "watched"
        monkeypatch.setattr(service._supervisor, "_failures", {})
        assert service._watched() is None
        assert any(text.startswith("looking for what to watch failed") for text in service._health.problems())
        monkeypatch.setattr(type(service.pipeline), "is_waiting", fail)
        monkeypatch.setattr(service._sources, "due_parts", dict)
        assert _has_news(service)
        await service.close()

    asyncio.run(run())


def test_a_rest_is_no_longer_than_something_needs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds; to the next end of a ban, a part of the watchdog's time; none where a source needs ticks.

    Where sources alone have something to do, the second is one at rest: who asks meanwhile has the daemon look first,
    if the last look is old by then. After a tick with news it is awake for a second.
    """
    pauses: list[float] = []
    extension()

    async def awake(_: Rest) -> None:
        pauses.append(0.0)

    async def at_rest(_: Rest, seconds: float, *_more: object) -> None:
        pauses.append(seconds)

    async def pauses_of(service: Service) -> None:
        service._changes_known = service._changes_total
        service._pace.is_due(time.monotonic(), has_news=False)
        for ledger_end_s in (float("inf"), time.time() + 0.5):
            monkeypatch.setattr(type(service.pipeline), "next_end_s", ledger_end_s)
            await service._pause()
        monkeypatch.setattr(service._sources, "watched", lambda: None)
        await service._pause()
        service._pace.is_due(time.monotonic(), has_news=True)
        await service._pause()
        await service.close()

    async def run() -> None:
        for time_us in (30_000_000, 900_000):
            with monkeypatch.context() as changed:
                changed.setenv("WATCHDOG_USEC", str(time_us))
                await pauses_of(Service(path, load(path)))

    monkeypatch.setattr(Rest, "stay_awake", awake)
    monkeypatch.setattr(Rest, "rest", at_rest)
    loop.run(run())
    assert [round(pause, 1) for pause in pauses] == [10.0, 0.5, 1.0, 0.0, 0.5, 0.5, 1.0, 0.0]


def test_a_look_does_what_is_due_and_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source alone for what it has to do; a full tick for who asks, and for a change that no source explains."""

    async def run() -> None:
        service = Service(path, load(path))
        done: list[list[str]] = []
        monkeypatch.setattr(service._supervisor, "run", lambda parts: done.append(list(parts)))
        first = service._sources._runners[0]
        always = ["following the clock", "feeding the watchdog"]
        for has_news, woken, is_full, is_current in (
            (False, Woken(), False, False),
            (False, Woken(is_changed=True), True, False),
            (False, Woken(is_changed=True), True, True),
            (True, Woken(is_changed=True), False, False),
            (True, Woken(is_asked=True), True, False),
            (True, Woken(is_asked=True), False, True),
            (False, Woken(is_asked=True), True, False),
        ):
            monkeypatch.setattr(service._sources, "due_parts", dict)
            for _ in range(3):
                service._look(Woken())
            service._changes_known = service._changes_total
            service._pace._looked_s -= 0 if is_current else CURRENT_S
            done.clear()
            due = {f"the source {first.name}": first.tick} if has_news else {}
            monkeypatch.setattr(service._sources, "due_parts", lambda due=due: due)
            service._look(woken)
            (parts,) = done
            assert (parts == list(service._tick_parts())) == is_full
            assert is_full or parts == [always[0], *due, always[1]]
        await service.close()

    asyncio.run(run())


def test_a_scrape_has_it_look_around_while_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, however many questions a scrape has; not before the start is done, and not when it stops."""

    async def run() -> None:
        service = Service(path, load(path))
        looks: list[Woken] = []

        def look(_: Service, woken: Woken) -> None:
            service._pace.is_due(time.monotonic(), has_news=False, is_asked=woken.is_asked)
            looks.append(woken)

        monkeypatch.setattr(Service, "_look", look)
        monkeypatch.setattr(rest, "TICK_S", 60.0)
        assert await asyncio.to_thread(service._metrics._read_problems) is not None
        assert looks == []
        running = asyncio.create_task(service.run())
        await asyncio.sleep(0.01)
        service._pace._looked_s -= CURRENT_S
        looks.clear()
        for _ in range(3):
            await asyncio.to_thread(service._metrics._read_samples)
        assert looks == [Woken(is_asked=True)]
        service._stop()
        service._pace._looked_s -= CURRENT_S
        await asyncio.to_thread(service._metrics._read_problems)
        await running
        assert looks == [Woken(is_asked=True)]
        await service.close()

    asyncio.run(run())


def test_who_asks_is_answered_however_long_a_tick_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    """The tick that was done for it counts from its end: otherwise tick after tick would come before the answer."""
    monkeypatch.setattr(pace, "CURRENT_S", 0.1)
    read_end, write_end = pipe

    async def run() -> None:
        service, running = Service(path, load(path)), asyncio.get_running_loop()
        service._changes_known = service._changes_total
        for _ in range(2):
            service._pace.is_due(time.monotonic(), has_news=False)
        monkeypatch.setattr(service, "_news", lambda: ({}, False))
        monkeypatch.setattr(service, "_watched", list)
        ticks: list[float] = []

        def tick() -> None:
            time.sleep(0.15)
            ticks.append(time.monotonic())

        monkeypatch.setattr(service, "_tick_parts", lambda: {"slow": tick})
        answered: list[bytes] = []
        running.add_reader(read_end, lambda: answered.append(os.read(read_end, 1)))
        time.sleep(0.1)
        os.write(write_end, b"x")
        while not answered and len(ticks) < 5:
            await service._pause()
            service._look(service._rest.take_woken())
            running.call_later(0.05, service._rest.wake)
        running.remove_reader(read_end)
        assert answered
        await service.close()

    loop.run(run())


def test_news_in_the_look_of_a_scrape_are_followed_by_another_tick(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, as after any look: the rest is renewed only if there are none."""
    renewed: list[float] = []
    monkeypatch.setattr(Rest, "renew", lambda _, seconds: renewed.append(seconds))

    async def run() -> None:
        service = Service(path, load(path))
        monkeypatch.setattr(service._supervisor, "run", lambda _: None)
        monkeypatch.setattr(service._sources, "due_parts", dict)
        service._look(Woken())
        service._look(Woken())
        for is_news in (False, True):
            service._changes_known = service._changes_total
            if is_news:
                service.pipeline.forget_refused(1000.0)
            service._pace._looked_s -= CURRENT_S
            service._look_for_who_asks()
        await service.close()

    asyncio.run(run())
    calm_s, news_s = renewed
    assert calm_s > TICK_S
    assert news_s == TICK_S
