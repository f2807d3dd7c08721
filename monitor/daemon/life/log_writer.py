"""Writes the daemon's log from a thread of its own, since whoever reads it may stop reading.

A pipe or a socket that is full holds up its writer, and so does a disk that hangs: the loop would stop with the next
line, and the guard with it. So the loop formats a record and leaves it here. What waits is bounded; beyond that lines
are lost, which `status` reports as long as it lasts, and the log once it is read again.
"""

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue

MAX_WAITING = 1024
"""Lines that wait: half a minute of the longest burst."""
SLOW_S = 10.0
"""A line that takes longer to write is a problem in `status`."""
SHOWN_S = 300.0
_FLUSH_S = 2.0
_log = logging.getLogger(__name__)


class LogWriter(logging.Handler, ABC):
    """A handler that never blocks; whoever inherits says how a record is written."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the thread; `clock` is monotonic, in seconds."""
        super().__init__()
        self.lost_total = 0
        """Lines that were not written: too many waited, or writing failed."""
        self._clock = clock
        self._lost_until_s = float("-inf")
        self._writing_since_s = float("inf")
        self._reported = 0
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # reentrant, unlike `Queue`
        threading.Thread(target=self._run, name="log", daemon=True).start()

    @abstractmethod
    def prepared(self, record: logging.LogRecord) -> Callable[[], object]:
        """Return what writes a record, called in another thread: nothing of it may change until then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a record to the thread."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._lose()
            return
        try:
            self._waiting.put(self.prepared(record))
        except Exception:  # noqa: BLE001 - as every handler of the library does
            self._lose()

    def flush(self) -> None:
        """Wait until all is written, but not for long: when the process ends."""
        done = threading.Event()
        self._waiting.put(done.set)
        done.wait(_FLUSH_S)

    def close(self) -> None:
        """Let the thread end once it has written what waits."""
        self._waiting.put(None)
        super().close()

    def trouble(self) -> str:
        """Say that the log cannot be written, or that lines were lost within the last minutes; empty if it is well."""
        now_s = self._clock()
        lost = f"{self.lost_total} lines of the log were lost since the start" if self.lost_total else ""
        if now_s - self._writing_since_s >= SLOW_S:
            waiting = f"{self._waiting.qsize()} lines wait" + (f", {lost}" if lost else "")
            return f"the log cannot be written, because standard error or the journal is not read: {waiting}"
        if now_s >= self._lost_until_s:
            return ""
        return f"{lost}: writing failed, or too many waited; `nodewarden events` has the latest decisions"

    def _lose(self) -> None:
        self.lost_total += 1
        self._lost_until_s = self._clock() + SHOWN_S

    def _run(self) -> None:
        while (write := self._waiting.get()) is not None:
            self._writing_since_s = self._clock()
            try:
                write()
            except Exception:  # noqa: BLE001 - no room, nobody who reads: it is no use to log that
                self._lose()
                continue
            finally:
                self._writing_since_s = float("inf")
            if (lost := self.lost_total) != self._reported and not self._waiting.qsize():
                self._reported = lost
                with contextlib.suppress(RuntimeError):  # the interpreter ends
                    _log.warning("%d lines of the log were lost since the start", lost)
