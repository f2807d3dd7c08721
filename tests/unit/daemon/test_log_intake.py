"""What sources of log text share: small pieces, places behind what was looked through, faults that cost little."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.logs import Backend, Failures
from monitor.config.schema import Detectors, Settings
from monitor.daemon import log_intake
from monitor.daemon.intake import Process
from monitor.daemon.log_filters import LogFilters
from monitor.daemon.log_intake import LogIntake, pieces
from monitor.daemon.log_scan import LogScan
from monitor.daemon.saver import Saver
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from tests.unit.daemon.intake_support import PipeStats, until

_LINE = b"refused 192.0.2.1\n"


class Shelf:
    """A source of blocks that were put there; its place is how many were read."""

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


class ShelfIntake(LogIntake[Shelf]):
    """Reads blocks, one a batch."""

    name = "shelf"
    title = "the shelf"
    is_wanted = True

    def __init__(self, scan: LogScan, saver: Saver, process: Process) -> None:
        super().__init__(scan, saver, process, PipeStats())
        self.shelf = Shelf()
        self.saved: list[int] = []

    def reconfigure(self, settings: Settings) -> None:
        """Follow nothing."""

    def _make(self) -> Shelf:
        return self.shelf

    def _read(self, source: Shelf) -> Sequence[LogBlock]:
        source.taken += 1
        return source.blocks[source.taken - 1 : source.taken]

    def _recall_place(self) -> None:
        pass

    def _save_read(self, source: Shelf) -> None:
        if source.taken and source.taken not in self.saved:
            self.saved.append(source.taken)

    def _explain_loss(self) -> str:
        return ""


@pytest.fixture
def scan(tmp_path: Path) -> LogScan:
    """Return the filter of a detector `app`."""
    path = tmp_path / "app.yaml"
    path.write_text('description: Ours.\nfailregex: ["^refused <HOST>$"]\n')
    section = Failures(filter=str(path), backend=Backend.FILES, files=("/logs/app",))
    return LogScan(LogFilters(Settings(detectors=Detectors(failures={"app": section}))), 0.1)


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    """Return a saver that is never opened: these intakes only note what they would save."""
    saver = Saver(tmp_path / "nodewarden.db")
    yield saver
    saver.close()


def block(count: int) -> LogBlock:
    """Return a block of failures."""
    return LogBlock("/logs/app", ("app",), _LINE * count, time.time())


@given(
    st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"")), max_size=30),
    st.integers(1, 60),
    st.booleans(),
)
def test_pieces_hold_all_lines_with_their_times(lines: list[bytes], longest_bytes: int, has_times: bool) -> None:
    """In order, none cut, none too long unless it is one line; each time stays with its line."""
    times_s = tuple(map(float, range(len(lines)))) if has_times else ()
    whole = LogBlock("journal", ("app",), b"".join(line + b"\n" for line in lines), 5.0, times_s, is_trusted=False)
    parts = list(pieces(whole, longest_bytes))
    assert b"".join(part.data for part in parts) == whole.data
    assert sum((part.times_s for part in parts), ()) == times_s
    for part in parts:
        count = part.data.count(b"\n")
        assert part.data.endswith(b"\n")
        assert len(part.data) <= longest_bytes or count == 1
        assert len(part.times_s) == (count if has_times else 0)
        assert msgspec.structs.replace(part, data=whole.data, times_s=times_s) == whole


def test_a_long_batch_leaves_others_their_turns(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is looked through piece by piece the loop goes round, and the place is saved only at the end."""
    monkeypatch.setattr(log_intake, "_TURN_S", 0.0)
    rounds: list[int] = []
    seen: list[AuthFailure] = []

    async def run() -> None:
        one = ShelfIntake(scan, saver, seen.extend)
        one.shelf.blocks = [block(2000)]
        one.open()
        one.attach(asyncio.get_running_loop())
        while len(seen) < 2000:
            await asyncio.sleep(0)
            one.tick()
            rounds.append(len(seen))
            assert one.saved == ([1] if len(seen) == 2000 else [])
        one.close()

    asyncio.run(run())
    assert len(set(rounds)) > 8


def test_closing_looks_through_what_was_read(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left over that the next start would count again, and the place is behind it."""
    monkeypatch.setattr(log_intake, "_TURN_S", 0.0)
    seen: list[AuthFailure] = []

    async def run() -> None:
        one = ShelfIntake(scan, saver, seen.extend)
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
    sound = scan.scan

    def scan_badly(one: LogBlock) -> list[AuthFailure]:
        if one.log == "/logs/bad":
            raise ZeroDivisionError
        return sound(one)

    def supervise(events: Iterable[AuthFailure]) -> None:
        try:
            seen.extend(events)
        except ZeroDivisionError as error:
            faults.append(error)

    monkeypatch.setattr(scan, "scan", scan_badly)

    async def run() -> None:
        one = ShelfIntake(scan, saver, supervise)
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
    one = ShelfIntake(scan, saver, list[AuthFailure]().extend)
    one.shelf.blocks = [
        LogBlock("journal", ("app",), _LINE, 1000.0, times_s=(990.0,), is_live=False),
        LogBlock("journal", ("app",), _LINE * 2, 1000.0, times_s=(999.0, 999.5)),
    ]
    one.open()
    one._readable()
    assert one.describe()["lag_s"] is None
    one._readable()
    assert one.describe()["lag_s"] == 0.5
    assert ("nodewarden_source_lag_seconds", ("shelf",), 0.5) in list(one.samples())
    one.close()


def test_a_slow_filter_is_given_little_at_a_time(scan: LogScan, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a turn that took too long what is left comes in small pieces, all of it and in order."""
    monkeypatch.setattr(log_intake, "_TURN_S", 0.0)
    monkeypatch.setattr(log_intake, "_SLOW_S", 0.0)
    seen: list[int] = []
    one = ShelfIntake(scan, saver, lambda events: seen.append(len(list(events))))
    one.shelf.blocks = [block(600)]
    one.open()
    one._readable()
    while one._waiting:
        one._readable()
    assert seen[0] == 4096 // len(_LINE)
    assert set(seen[1:-1]) <= set(range(1, 256 // len(_LINE) + 1))
    assert sum(seen) == 600
    one.close()
