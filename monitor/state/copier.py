"""Keeps the second copy of the store up to date, in a thread of its own: saving an order never waits for it."""

import logging
import time
from collections.abc import Callable
from concurrent import futures

from monitor.model.errors import TemporaryError
from monitor.model.retry import Worker
from monitor.state.store import Store
from monitor.state.store_reader import DamagedFile

_log = logging.getLogger(__name__)
_EVERY_S = 60.0
_MAX_SHARE = 0.01
"""The most of the time that is spent on copying."""


class Copier:
    """Copies a store that changed, at most once a minute and for at most a hundredth of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._worker = Worker("copier")
        self._job: futures.Future[None] | None = None
        self._started_s = 0.0
        self._due_s = float("-inf")
        self._is_wanted = True
        self.trouble = ""
        """Why there is no copy of now, for `status`; empty while there is."""
        self.failures_total = 0

    def want(self) -> None:
        """Note that something changed that the copy must have."""
        self._is_wanted = True

    def tick(self, store: Store) -> bool:
        """Start copying if it is time; False if the store turned out to be damaged."""
        if self._job is not None:
            return not self._job.done() or self._collect()
        if self._is_wanted and self._clock() >= self._due_s:
            self._begin(store)
        return True

    def finish(self, store: Store, timeout_s: float) -> None:
        """Make a last copy if something changed; no other call may follow."""
        if self._job is None and self._is_wanted:
            self._begin(store)
        if self._job is not None:
            futures.wait([self._job], timeout_s)
            if self._job.done():
                self._collect()
        self._worker.shutdown()

    def _begin(self, store: Store) -> None:
        self._is_wanted = False
        self._started_s = self._clock()
        self._job = self._worker.submit(store.copy)

    def _collect(self) -> bool:
        """Process the result of the worker; False if the store is damaged."""
        job, self._job = self._job, None
        now_s = self._clock()
        self._due_s = now_s + max(_EVERY_S, (now_s - self._started_s) / _MAX_SHARE)
        fault = job.exception() if job else None
        if fault is None:
            self.trouble = ""
            return True
        self._is_wanted = True
        self.failures_total += 1
        if not self.trouble:
            _log.error("the second copy of the state was not made: %s", fault)
        self.trouble = f"the second copy of the state is old: {fault}"
        if not isinstance(fault, TemporaryError):
            _log.error("an internal fault prevented the copy; please report this", exc_info=fault)
        return not isinstance(fault, DamagedFile)
