"""The runner of an eBPF program: a program that fails in use is unloaded, reported and loaded again."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator

import pytest

from monitor.model.errors import PermanentError, TemporaryError
from monitor.model.retry import Backoff
from monitor.sources.program_runner import ProgramRunner
from tests.unit.daemon.runner_support import until


class FakeProgram:
    """A program whose map cannot be read while `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def has_news(self) -> bool:
        return False

    def watched(self) -> list[tuple[int, bytes]] | None:
        return []

    def run_statistics(self) -> tuple[int, int]:
        return 0, 0


class FakeRunner(ProgramRunner[FakeProgram, int]):
    """Loads such programs, unless `missing` says why not."""

    name = "fake"
    title = "the fake"
    program_name = "fake"
    is_wanted = True

    def __init__(self) -> None:
        self.seen: list[object] = []
        super().__init__(0, self.seen.extend)
        self.made: list[FakeProgram] = []
        self.missing: Exception | None = None
        self._backoff = Backoff(0.0, 0.0)
        self._sample_at_s = float("inf")

    def make(self, settings: int, started: Callable[[subprocess.Popen[bytes]], None]) -> FakeProgram:
        if self.missing:
            raise self.missing
        self.made.append(FakeProgram())
        return self.made[-1]

    def taken(self, program: FakeProgram) -> None:
        """Do nothing."""

    def poll(self, program: FakeProgram) -> Iterator[object]:  # type: ignore[override]
        yield "event"
        if program.error:
            raise program.error


@pytest.mark.parametrize("error", [OSError(12, "no memory"), TemporaryError("no memory"), PermanentError("no memory")])
def test_a_program_that_fails_in_use_is_loaded_again(error: Exception) -> None:
    """Its half read events are dropped, it is a problem until another runs, whatever keeps that one from loading."""

    async def run() -> None:
        runner = FakeRunner()
        runner.attach(asyncio.get_running_loop())
        await until(lambda: runner.state == "up")
        runner.tick()
        assert (runner.seen, runner.problems()) == (["event"], [])
        runner.made[0].error = runner.missing = error
        runner.tick()
        assert runner.seen == ["event"]
        assert runner.made[0].is_closed
        assert (runner.state, runner.problems()) == ("down", ["the fake: no memory"])
        runner.tick()
        await until(lambda: runner.state == "down")
        runner.missing = None
        runner.tick()
        await until(lambda: runner.state == "up")
        assert (len(runner.made), runner.problems(), runner.notices) == (2, [], [])
        runner.close()

    asyncio.run(run())


def test_a_program_that_never_ran_is_a_notice() -> None:
    """A machine that cannot run it is no problem, and is not asked again and again."""

    async def run() -> None:
        runner = FakeRunner()
        runner.missing = PermanentError("no eBPF here")
        runner.attach(asyncio.get_running_loop())
        await until(lambda: runner.notices)
        assert (runner.problems(), runner.notices, runner.state) == ([], ["the fake: no eBPF here"], "off")
        runner.missing = None
        runner.tick()
        await asyncio.sleep(0.01)
        assert runner.made == []
        runner.close()

    asyncio.run(run())
