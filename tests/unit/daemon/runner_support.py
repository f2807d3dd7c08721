"""What tests of runners share: a source that is a pipe, and patience."""

import asyncio
import os
from collections.abc import Callable

import msgspec
import pytest

from monitor.model.cursors import Cursor, CursorStore
from monitor.sources.runner import Process, SourceRunner

BATCH = 10


class PipeStats(msgspec.Struct):
    """Totals as sources have them."""

    records: int = 0
    lost: int = 0
    malformed: int = 0


class Pipe:
    """The reading end of a pipe: every byte is an event, a line's end an error, X a lost record."""

    def __init__(self, descriptor: int, stats: PipeStats) -> None:
        self.is_drained = False
        self._descriptor = os.dup(descriptor)
        self._stats = stats

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Close this end."""
        os.close(self._descriptor)

    def read(self) -> list[str]:
        """Return at most ten events."""
        try:
            data = os.read(self._descriptor, BATCH)
        except BlockingIOError:
            data = b""
        self.is_drained = len(data) < BATCH
        if b"\n" in data:
            raise OSError(5, "Input/output error")
        self._stats.records += len(data)
        self._stats.lost += data.count(b"X")
        return [chr(byte) for byte in data]


class PipeRunner(SourceRunner[Pipe, None]):
    """Reads a pipe; its cursor is the number of events."""

    name = "pipe"
    title = "the pipe"
    stats: PipeStats

    def __init__(self, cursors: CursorStore, process: Process) -> None:
        super().__init__(process, PipeStats())
        self._cursors = cursors
        self._read_end, self.write_end = os.pipe2(os.O_NONBLOCK)
        self.missing: Exception | None = None
        self.position = 0

    is_wanted = True

    def write(self, text: str) -> None:
        """Have something to read."""
        os.write(self.write_end, text.encode())

    def end(self) -> None:
        """Close all that is open."""
        self.close()
        os.close(self._read_end)
        os.close(self.write_end)

    def reconfigure(self, settings: None) -> None:
        """Open again."""
        self._renew()

    def _make(self) -> Pipe:
        if self.missing:
            raise self.missing
        return Pipe(self._read_end, self.stats)

    def _take(self, source: Pipe) -> None:
        self._process(source.read())

    def _load_cursor(self) -> None:
        cursor = self._cursors.load_cursors().get(self.name)
        self.position = int(cursor.position) if cursor else 0

    def _save_cursor(self) -> None:
        if self.stats.records > self.position:
            self.position = self.stats.records
            self._cursors.save_cursor(self.name, Cursor("", self.position))

    def _explain_loss(self) -> str:
        return f"{self.stats.lost} records are lost"


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it does not come to that")
