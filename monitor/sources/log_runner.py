"""The runner of a source of log text: filters scan what it reads, in short turns.

Each log has a queue of its own, and they take turns: while a filter is slow on the lines of one log, the others are
read and scanned. A log is read on when its queue is empty, so that a queue holds what one read yields.
"""

import logging
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Container, Iterator, Sequence
from typing import Any

from monitor.metrics.metric import Sample
from monitor.model.cursors import CursorStore
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.sources import metrics
from monitor.sources.log_scanner import BlockScan, LogScanner
from monitor.sources.runner import Process, SettingsT, SourceRunner, SourceT

_log = logging.getLogger(__name__)
_TURN_S = 0.02
"""How long lines are scanned before other sources have their turn."""
_SLICE_S = 0.01
"""How long the lines of one log are scanned before the next log has its turn."""
_SETTLE_CPU_S = 0.5
_SETTLE_S = 3.0
"""How long what was read is scanned when the source is closed: CPU time, and at most by the clock."""
_MAX_WAITING_BYTES = 8 << 20
_COMPILED_S = 0.01
"""How often to look whether filters are compiled."""


class LogRunner(SourceRunner[SourceT, SettingsT]):
    """Owns a source of log blocks; the filters are shared by all sources of log text."""

    counters = SourceRunner.counters | metrics.LOG_COUNTERS

    def __init__(self, scanner: LogScanner, cursors: CursorStore, process: Process, stats: Any) -> None:
        """Open nothing yet; `scanner` says what to read, and finds failures in it."""
        super().__init__(process, stats)
        self._cursors = cursors
        self._scanner = scanner
        self._queues: dict[str, deque[tuple[LogBlock, BlockScan]]] = {}
        """What was read and not yet scanned, by log, in turn; none is empty."""
        self._waiting_bytes = 0
        self._events = 0
        self._lag_s: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status; `lag_s` is None before the first failure that was read live."""
        return {**super().describe(), "events": self._events, "lag_s": self._lag_s}

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        yield from super().samples()
        if self._lag_s is not None:
            yield metrics.LAG.name, (self.name,), self._lag_s

    @abstractmethod
    def _read(self, source: SourceT, busy: Container[str], limit_bytes: int) -> Sequence[LogBlock]:
        """Read a bounded batch, about `limit_bytes` where they can be counted; nothing of the `busy` logs."""

    @abstractmethod
    def _save_read(self, source: SourceT, busy: Container[str]) -> None:
        """Save the cursors after what was read, where they moved, except of the `busy` logs."""

    def _take(self, source: SourceT) -> None:
        """Read on in logs of which nothing waits, and scan what waits until the turn is over."""
        if (room_bytes := _MAX_WAITING_BYTES - self._waiting_bytes) > 0:
            for block in self._read(source, self._queues.keys(), room_bytes):
                if (scan := self._scanner.begin(block)) is not None:
                    self._queues.setdefault(block.log, deque()).append((block, scan))
                    self._waiting_bytes += len(block.data)
        self._scan(time.monotonic() + _TURN_S)

    def _scan(self, until_s: float) -> None:
        """Hand on the failures in what was read, log by log, until it is `until_s` or nothing is left."""
        while (log := self._next_log()) is not None:
            queue = self._queues.pop(log)
            block, scan = queue[0]
            now_s = time.monotonic()
            self._process(self._failures(block, scan, min(until_s, now_s + _SLICE_S)))
            if not scan.has_more:
                queue.popleft()
                self._waiting_bytes -= len(block.data)
            if queue:
                self._queues[log] = queue
            if time.monotonic() >= until_s:
                return

    def _next_log(self) -> str | None:
        """Return the log whose turn it is, of those that can be scanned now."""
        return next((log for log, queue in self._queues.items() if not queue[0][1].is_waiting), None)

    def _has_more(self, source: SourceT) -> bool:
        return self._next_log() is not None or super()._has_more(source)

    def _come_back(self) -> None:
        super()._come_back()
        if self._queues and self._loop and not self._again:
            self._again = self._loop.call_later(_COMPILED_S, self._readable)

    @property
    def is_settled(self) -> bool:
        """Whether all that was read is scanned."""
        return not self._queues

    def _save_cursor(self) -> None:
        if self._source:
            self._save_read(self._source, self._queues.keys())

    def _settle(self) -> None:
        """Scan what was read, for a short time; the rest is lost: if it was read again, parts would count twice."""
        end_s, cpu_end_s = time.monotonic() + _SETTLE_S, time.thread_time() + _SETTLE_CPU_S
        while self._queues and time.monotonic() < end_s and time.thread_time() < cpu_end_s:
            self._scan(time.monotonic() + _TURN_S)
            if self._next_log() is None:
                time.sleep(_COMPILED_S)
        for log, queue in self._queues.items():
            self.stats.lost += 1
            size = sum(len(block.data) for block, _ in queue)
            _log.warning("up to %d bytes of %s are given up: filters take too long on them", size, log)
        self._queues.clear()
        self._waiting_bytes = 0
        super()._settle()

    def _failures(self, block: LogBlock, scan: BlockScan, until_s: float) -> Iterator[AuthFailure]:
        """Scan only when the first failure is asked for, so that a fault is caught there and costs this block only."""
        events = scan.run(until_s)
        self._events += len(events)
        if events and block.is_live:
            self._lag_s = max(0.0, block.read_s - events[-1].time_s)
        yield from events
