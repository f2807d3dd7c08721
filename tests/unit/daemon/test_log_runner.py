"""What sources of log text share: short turns, cursors behind what was looked through, faults that cost little."""

import asyncio
import math
import os
import time
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.detectors.failures import Backend, FailuresSettings
from monitor.filters import breaker
from monitor.filters.scan import Scan
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from monitor.sources import log_runner
from monitor.sources.journal.runner import JournalRunner
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.log_runner import LogRunner
from monitor.sources.runner import Process
from monitor.state.saver import Saver
from tests.unit.daemon.runner_support import PipeStats, until

_LINE = b"refused 192.0.2.1\n"


class Shelf:
    """A source of blocks that were put there; its cursor is how many were read."""

    def __init__(self) -> None:
        self.blocks: list[LogBlock] = []
        self.taken = 0
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK)

    @property
    def is_drained(self) -> bool:
        """Whether all was read."""
        return self.taken == len(self.blocks)

    @is_drained.setter
    def is_drained(self, value: bool) -> None:
        """Sources have an attribute."""

    def fileno(self) -> int:
        """Return a descriptor that never wakes anybody."""
        return self._descriptor

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


class LogStats(PipeStats):
    """Totals as sources of log text have them."""

    untrusted: int = 0
    cut_lines: int = 0
    unreadable_files: int = 0


class ShelfRunner(LogRunner[Shelf, None]):
    """Reads blocks, one a batch."""

    name = "shelf"
    title = "the shelf"
    is_wanted = True

    def __init__(self, scan: LogScan, saver: Saver, process: Process) -> None:
        super().__init__(scan, saver, process, LogStats())
        self.shelf = Shelf()
        self.saved: list[int] = []

    def reconfigure(self, settings: None) -> None:
        """Follow nothing."""

    def _make(self) -> Shelf:
        return self.shelf

    def _read(self, source: Shelf, busy: Container[str], limit_bytes: int) -> Sequence[LogBlock]:
        found = [block for block in source.blocks[source.taken : source.taken + 1] if block.log not in busy]
        source.taken += len(found)
        return found

    def _save_read(self, source: Shelf, busy: Container[str]) -> None:
        if not self._queues and source.taken and source.taken not in self.saved:
            self.saved.append(source.taken)

    def _explain_loss(self) -> str:
        return ""


@pytest.fixture
def scan(tmp_path: Path) -> LogScan:
    """Return the filter of a detector `app`."""
    path = tmp_path / "app.yaml"
    path.write_text('description: Ours.\nfailregex: ["^refused <HOST>$"]\n')
    section = FailuresSettings(filter=str(path), backend=Backend.FILES, files=("/logs/app",))
    return LogScan(LogFilters(Settings(detectors=Detectors(failures={"app": section}))), 0.1)


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    """Return a saver that is never opened: these runners only note what they would save."""
    saver = Saver(tmp_path / "nodewarden.db")
    yield saver
    saver.close()


def block(count: int) -> LogBlock:
    """Return a block of failures."""
    return LogBlock("/logs/app", ("app",), _LINE * count, time.time())


def have_compiled(scan: LogScan, *blocks: LogBlock) -> None:
    """Wait for what these blocks need."""
    for block in blocks:
        one = scan.begin(msgspec.structs.replace(block, data=b""))
        assert one is not None
        one.run()


def read_all(one: "ShelfRunner", events: int) -> None:
    """Read until that many failures were handed on: on a busy machine a turn is over sooner."""
    while one.describe()["events"] < events:
        one._readable()


def test_a_long_batch_leaves_others_their_turns(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is looked through line by line the loop goes round, and the cursor is saved only at the end."""
    monkeypatch.setattr(log_runner, "_TURN_S", 0.0)
    rounds: list[int] = []
    seen: list[AuthFailure] = []

    async def run() -> None:
        one = ShelfRunner(scan, saver, seen.extend)
        one.shelf.blocks = [block(2000)]
        one.open()
        one.attach(asyncio.get_running_loop())
        while not one.saved:
            await asyncio.sleep(0)
            rounds.append(len(seen))
            one.tick()
        assert (one.saved, len(seen)) == ([1], 2000)
        one.close()

    asyncio.run(run())
    assert len(set(rounds)) > 1000


def test_hostile_lines_leave_others_their_turns(tmp_path: Path, saver: Saver) -> None:
    """Each line takes its filter to the limit: the loop goes round in between, and what is no such line is found."""
    path = tmp_path / "slow.yaml"
    path.write_text('description: It goes back and forth.\nfailregex: ["^refused (?:a+)+ <HOST>$"]\n')
    section = FailuresSettings(filter=str(path), backend=Backend.FILES, files=("/logs/app",))
    scan = LogScan(LogFilters(Settings(detectors=Detectors(failures={"app": section}))), 0.03)
    hostile = b"refused " + b"a" * 60 + b"\n"
    rounds = 0
    seen: list[AuthFailure] = []

    async def run() -> None:
        nonlocal rounds
        one = ShelfRunner(scan, saver, seen.extend)
        one.shelf.blocks = [msgspec.structs.replace(block(1), data=hostile * 20 + b"refused aa 192.0.2.1\n" + hostile)]
        one.open()
        one.attach(asyncio.get_running_loop())
        while not one.saved:
            await asyncio.sleep(0)
            rounds += 1
            one.tick()
        one.close()

    asyncio.run(run())
    assert len(seen) == 1
    (totals,) = scan.describe()
    assert totals["timeouts"] + totals["skipped"] == 21
    assert totals["skipped"] > 0
    assert rounds > 5
    (problem,) = scan.problems()
    assert problem.startswith("detector app skips lines longer than 34 characters: failregex 1 of its filter")
    assert ("nodewarden_filter_paused", ("app",), 1.0) in list(scan.samples())
    assert ("nodewarden_filter_skipped_total", ("app",), totals["skipped"]) in list(scan.samples())


def test_a_slow_log_holds_up_no_other(tmp_path: Path, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of one log take as long as they may: the next log is scanned in between, and its cursor is saved."""
    monkeypatch.setattr(log_runner, "_SETTLE_S", 0.0)
    monkeypatch.setattr(breaker, "_BUDGET_S", 1000.0)
    path = tmp_path / "slow.yaml"
    path.write_text('description: It goes back and forth.\nfailregex: ["^refused (?:a+)+ <HOST>$"]\n')
    sections = {
        name: FailuresSettings(filter=str(path), backend=Backend.FILES, files=(f"/logs/{name}",)) for name in "ab"
    }
    scan = LogScan(LogFilters(Settings(detectors=Detectors(failures=sections))), 0.03)
    hostile = LogBlock("/logs/a", ("a",), (b"refused " + b"a" * 60 + b"\n") * 20, time.time())
    ordinary = LogBlock("/logs/b", ("b",), b"refused a 192.0.2.1\n", time.time())
    have_compiled(scan, hostile, ordinary)
    seen: list[AuthFailure] = []
    one = ShelfRunner(scan, saver, seen.extend)
    one.shelf.blocks = [hostile, hostile, *[ordinary] * 3]
    one.open()
    one.poll()
    assert (one.shelf.taken, list(one._queues), seen) == (1, ["/logs/a"], [])
    one.shelf.blocks = [*one.shelf.blocks[:1], *[ordinary] * 3]
    for _ in range(7):
        one.poll()
    assert len(seen) == 3
    assert list(one._queues) == ["/logs/a"]
    one.close()
    assert one.stats.lost == 1
    assert one.describe()["lost"] == 1


_STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), min_size=1, max_size=30)


class _Steps:
    """A scan that takes so many runs."""

    is_waiting = False

    def __init__(self, log: str, runs: int, order: list[str]) -> None:
        self.has_more = True
        self._left = runs
        self._log, self._order = log, order

    def run(self, _until_s: float = math.inf) -> list[AuthFailure]:
        """Note the turn."""
        self._order.append(self._log)
        self._left -= 1
        self.has_more = self._left > 0
        return []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_STEPS)
def test_logs_take_turns(scan: LogScan, saver: Saver, blocks: list[tuple[str, int]]) -> None:
    """Whatever waits: between two turns of one log, each other log that waits has one turn, and nothing is left out."""
    order: list[str] = []
    one = ShelfRunner(scan, saver, list[AuthFailure]().extend)
    for log, runs in blocks:
        block = LogBlock(log, ("app",), b"", 0.0)
        one._queues.setdefault(log, deque()).append((block, _Steps(log, runs, order)))
    wanted = {log: sum(runs for other, runs in blocks if other == log) for log, _ in blocks}
    one._scan(math.inf)
    assert dict(Counter(order)) == wanted
    for position, log in enumerate(order):
        since = order[:position][::-1]
        between = since[: since.index(log)] if log in since else since
        waiting = [other for other in wanted if other != log and other in order[position:]]
        assert len(between) == len(set(between)) or log not in since
        assert log not in since or set(waiting) <= set(between)


def test_closing_looks_through_what_was_read(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left over that the next start would count again, and the cursor is behind it."""
    monkeypatch.setattr(log_runner, "_TURN_S", 0.0)
    seen: list[AuthFailure] = []

    async def run() -> None:
        one = ShelfRunner(scan, saver, seen.extend)
        one.shelf.blocks = [block(2000)]
        one.open()
        one.attach(asyncio.get_running_loop())
        await until(lambda: seen)
        assert len(seen) < 2000
        one.close()
        assert one.saved == [1]

    asyncio.run(run())
    assert len(seen) == 2000


def test_a_fault_in_a_filter_costs_one_block(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches whoever takes the events, who catches it; what comes behind is found, and the source stays open."""
    faults: list[Exception] = []
    seen: list[AuthFailure] = []
    sound = Scan.run

    def run_badly(one: Scan, until_s: float = math.inf) -> list[AuthFailure]:
        if one._block.log == "/logs/bad":
            raise ZeroDivisionError
        return sound(one, until_s)

    def supervise(events: Iterable[AuthFailure]) -> None:
        try:
            seen.extend(events)
        except ZeroDivisionError as error:
            faults.append(error)

    monkeypatch.setattr(Scan, "run", run_badly)

    async def run() -> None:
        one = ShelfRunner(scan, saver, supervise)
        one.shelf.blocks = [block(1), msgspec.structs.replace(block(3), log="/logs/bad"), block(2)]
        one.open()
        one.attach(asyncio.get_running_loop())
        await until(lambda: len(seen) == 3)
        assert one.describe()["state"] == "up"
        assert one.describe()["events"] == 3
        one.close()

    asyncio.run(run())
    assert len(faults) == 1


def test_lag_is_of_what_was_read_live(scan: LogScan, saver: Saver) -> None:
    """The age of the last failure; unknown, and no sample, while there was only what was found at the start."""
    have_compiled(scan, LogBlock("journal", ("app",), b"", 1000.0))
    one = ShelfRunner(scan, saver, list[AuthFailure]().extend)
    one.shelf.blocks = [
        LogBlock("journal", ("app",), _LINE, 1000.0, times_s=(990.0,), is_live=False),
        LogBlock("journal", ("app",), _LINE * 2, 1000.0, times_s=(999.0, 999.5)),
    ]
    one.open()
    read_all(one, 1)
    assert one.describe()["lag_s"] is None
    read_all(one, 3)
    assert one.describe()["lag_s"] == 0.5
    assert ("nodewarden_source_lag_seconds", ("shelf",), 0.5) in list(one.samples())
    one.close()


def test_a_journal_that_notifies_nobody_is_read_by_ticks() -> None:
    """On a network file system no daemon that rests would be woken for an entry."""
    scanner: Any = SimpleNamespace(journal={"sshd": ()}, files={})
    runner = JournalRunner(JournalSettings(), scanner, Mock(), Mock())
    for timeout_s, is_due in ((None, False), (2.0, True)):
        source: Any = SimpleNamespace(timeout_s=timeout_s, is_drained=True)
        runner._source = source
        assert runner.has_news() == is_due
        assert (runner.watched() is None) == is_due
