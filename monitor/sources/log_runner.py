"""The runner of a source of log text: filters scan what it reads, in short turns."""

import math
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from monitor.metrics.metric import Sample
from monitor.model.cursors import CursorStore
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.sources import metrics
from monitor.sources.log_scanner import BlockScan, LogScanner
from monitor.sources.runner import Process, SettingsT, SourceRunner, SourceT

_TURN_S = 0.05
"""How long lines are scanned before others have their turn, should expressions take their longest on them."""


class LogRunner(SourceRunner[SourceT, SettingsT]):
    """Owns a source of log blocks; the filters are shared by all sources of log text."""

    counters = SourceRunner.counters | metrics.LOG_COUNTERS

    def __init__(self, scanner: LogScanner, cursors: CursorStore, process: Process, stats: Any) -> None:
        """Open nothing yet; `scanner` says what to read, and finds failures in it."""
        super().__init__(process, stats)
        self._cursors = cursors
        self._scanner = scanner
        self._waiting: deque[tuple[LogBlock, BlockScan]] = deque()
        """What was read and not yet scanned: one batch at most."""
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
    def _read(self, source: SourceT) -> Sequence[LogBlock]:
        """Read a bounded batch."""

    @abstractmethod
    def _save_read(self, source: SourceT) -> None:
        """Save the cursor after what was read, if it moved."""

    def _take(self, source: SourceT) -> None:
        """Scan what was read until the turn is over; read more when there is nothing left."""
        if not self._waiting:
            self._waiting.extend(
                (block, scan) for block in self._read(source) if (scan := self._scanner.begin(block)) is not None
            )
        self._scan(time.monotonic() + _TURN_S)

    def _scan(self, until_s: float) -> None:
        """Hand on the failures in what was read, until it is `until_s` or nothing is left."""
        while self._waiting:
            block, scan = self._waiting.popleft()
            self._process(self._failures(block, scan, until_s))
            if scan.has_more:
                self._waiting.appendleft((block, scan))
            if time.monotonic() >= until_s:
                return

    def _has_more(self, source: SourceT) -> bool:
        return bool(self._waiting) or super()._has_more(source)

    @property
    def is_settled(self) -> bool:
        """Whether all that was read is scanned."""
        return not self._waiting

    def _save_cursor(self) -> None:
        if self._source and not self._waiting:
            self._save_read(self._source)

    def _settle(self) -> None:
        """Scan all that was read: what is read again would count twice."""
        self._scan(math.inf)
        super()._settle()

    def _failures(self, block: LogBlock, scan: BlockScan, until_s: float) -> Iterator[AuthFailure]:
        """Scan only when the first failure is asked for, so that a fault is caught there and costs this block only."""
        events = scan.run(until_s)
        self._events += len(events)
        if events and block.is_live:
            self._lag_s = max(0.0, block.read_s - events[-1].time_s)
        yield from events
