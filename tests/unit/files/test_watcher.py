"""A watch that fails is closed and opened again; what changed in between counts as a change."""

import asyncio
import os
from collections.abc import Callable

import pytest

from monitor.files.watcher import Watcher
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.retry import Backoff
from tests.unit.daemon.runner_support import until


class PipeChanges:
    """The reading end of a pipe; fails while `error` is set."""

    def __init__(self) -> None:
        self.warning = ""
        self.error: Exception | None = None
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK)

    def change(self) -> None:
        os.write(self._write_end, b"x")

    def fileno(self) -> int:
        return self._read_end

    def drain(self) -> bool:
        if self.error:
            raise self.error
        return bool(os.read(self._read_end, 100))

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)


class Bench:
    """A watcher, what it made, and how often it reported a change."""

    def __init__(self) -> None:
        self.made: list[PipeChanges] = []
        self.missing: Exception | None = None
        self.changes = 0

    def watcher(self) -> Watcher:
        watcher = Watcher("the pipe", self._make, self._changed)
        watcher._backoff = Backoff(0.01, 0.01)
        return watcher

    def _make(self) -> PipeChanges:
        if self.missing:
            raise self.missing
        self.made.append(PipeChanges())
        return self.made[-1]

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench() -> Bench:
    """Return an empty bench."""
    return Bench()


FAULTS: list[Callable[[], Exception]] = [
    lambda: OSError(5, "no more"),
    lambda: MemoryError("no more"),
    lambda: RuntimeError("no more"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault()).__name__)
def test_a_watch_that_fails_is_opened_again(bench: Bench, fault: Callable[[], Exception]) -> None:
    """It says why until it works again, is read no further, and its opening counts as a change."""
    assert isinstance(fault(), SYSTEM_FAULTS)

    async def run() -> None:
        watcher = bench.watcher()
        watcher.attach(asyncio.get_running_loop())
        bench.made[0].change()
        await until(lambda: bench.changes == 1)
        bench.missing = bench.made[0].error = fault()
        bench.made[0].change()
        await until(lambda: watcher.trouble)
        assert watcher.trouble == "changes of the pipe are not notified: no more"
        bench.missing = None
        await until(lambda: not watcher.trouble)
        assert len(bench.made) == 2
        assert bench.changes >= 2
        before = bench.changes
        bench.made[1].change()
        await until(lambda: bench.changes == before + 1)
        watcher.close()

    asyncio.run(run())


def test_a_watch_that_cannot_be_opened_does_not_stop_the_start(bench: Bench) -> None:
    """At the start there is no descriptor: it is opened as soon as there is one."""
    bench.missing = OSError(24, "Too many open files")

    async def run() -> None:
        watcher = bench.watcher()
        assert "Too many open files" in watcher.trouble
        watcher.attach(asyncio.get_running_loop())
        bench.missing = None
        await until(lambda: not watcher.trouble)
        assert bench.changes == 1
        watcher.close()

    asyncio.run(run())


def test_a_watch_that_is_closed_opens_nothing(bench: Bench) -> None:
    """Closed while it waits for the next attempt, it makes none."""
    bench.missing = OSError(24, "Too many open files")

    async def run() -> None:
        watcher = bench.watcher()
        watcher.attach(asyncio.get_running_loop())
        watcher.close()
        bench.missing = None
        await asyncio.sleep(0.05)
        assert bench.made == []

    asyncio.run(run())
