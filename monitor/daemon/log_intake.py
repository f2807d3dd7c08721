"""What sources of log text share: filters look through what they read, a little at a time."""

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from monitor.daemon.intake import Intake, Process, SourceT
from monitor.daemon.log_scan import LogScan
from monitor.daemon.saver import Saver
from monitor.metrics.exporter import Sample
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_TURN_S = 0.05
# Should an expression take its longest on every line: the watchdog does not bite, and then commands are answered again.
_PIECE_BYTES = 4096
_SLOW_S = 1.0
_SMALL_BYTES = 256


class LogIntake(Intake[SourceT]):
    """A source of log blocks, with the filters that all of them share."""

    def __init__(self, scan: LogScan, saver: Saver, process: Process, stats: Any) -> None:
        """Nothing is opened yet; `scan` says what is to be read, and finds failures in it."""
        super().__init__(saver, process, stats)
        self._scan = scan
        self._waiting: deque[LogBlock] = deque()
        """What was read and not yet looked through: one batch at most."""
        self._events = 0
        self._lag_s: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status; `lag_s` is None before the first failure that was read live."""
        return {**super().describe(), "events": self._events, "lag_s": self._lag_s}

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        yield from super().samples()
        if self._lag_s is not None:
            yield "nodewarden_source_lag_seconds", (self.name,), self._lag_s

    @abstractmethod
    def _read(self, source: SourceT) -> Sequence[LogBlock]:
        """Read a bounded batch."""

    @abstractmethod
    def _save_read(self, source: SourceT) -> None:
        """Have the place behind what was read saved, if it is a new one."""

    def _take(self, source: SourceT) -> None:
        """Look through what was read until the turn is over; read more when there is nothing left."""
        if not self._waiting:
            self._waiting.extend(piece for block in self._read(source) for piece in pieces(block, _PIECE_BYTES))
        began_s = time.monotonic()
        while self._waiting:
            self._process(self._failures(self._waiting.popleft()))
            if (took_s := time.monotonic() - began_s) >= _TURN_S:
                break
        else:
            return
        if took_s > _SLOW_S:
            self._waiting = deque(small for piece in self._waiting for small in pieces(piece, _SMALL_BYTES))

    def _has_more(self, source: SourceT) -> bool:
        return bool(self._waiting) or super()._has_more(source)

    def _save_place(self) -> None:
        if self._source and not self._waiting:
            self._save_read(self._source)

    def _settle(self) -> None:
        """Look through all that was read: what is read again would count twice."""
        while self._waiting:
            self._process(self._failures(self._waiting.popleft()))
        super()._settle()

    def _failures(self, block: LogBlock) -> Iterator[AuthFailure]:
        """Look for failures when asked for the first, so that a fault is caught there and costs this block only."""
        events = self._scan.scan(block)
        self._events += len(events)
        if events and block.is_live:
            self._lag_s = max(0.0, block.read_s - events[-1].time_s)
        yield from events


def pieces(block: LogBlock, longest_bytes: int) -> Iterator[LogBlock]:
    """Split a block into blocks of whole lines, none longer than this unless a line is."""
    data = block.data
    start = line = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + longest_bytes) + 1 or data.find(b"\n", start) + 1 or len(data)
        part = data[start:end]
        count = part.count(b"\n") if block.times_s else 0
        yield msgspec.structs.replace(block, data=part, times_s=block.times_s[line : line + count])
        start, line = end, line + count
