"""Puts bans into the kernel while the store is still being read."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from monitor.enforcers.protocol import Failure, Leader
from monitor.model.bans import Ban
from monitor.model.retry import Worker

_FIRST, _HANDFUL = 1024, 8192
"""Bans that are put into the kernel together: few at first, so that it starts early, then more."""


class Filling:
    """Fills the kernel's sets while the store is still being read: the kernel's part takes half of the time.

    A block of `with` ends when all is in the kernel, also after an error: the table is used by one thread at a time.
    """

    def __init__(self, table: Leader, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._worker = Worker("restore")
        self._jobs: list[Future[list[Failure]]] = []
        self._waiting: list[Ban] = []
        self._enough = _FIRST
        self._is_begun = False

    def __enter__(self) -> None:
        """Take bans from now on."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Send what waits, unless there was an error, and wait until all is in the kernel."""
        if kind is None:
            self.send()
        wait(self._jobs)
        self._worker.shutdown()

    @property
    def is_long(self) -> bool:
        """Whether there were enough bans that the kernel needs a while."""
        return self._enough == _HANDFUL

    def begin(self) -> None:
        """Have the table made, once it is known that there will be one."""
        if self._is_begun:
            return
        self._is_begun = True
        if not self._table.is_up:
            if self._worker.is_running:
                self._jobs.append(self._worker.submit(self._make))
            else:
                self._table.make()

    def add(self, ban: Ban) -> None:
        """Put a ban into the kernel soon."""
        self._waiting.append(ban)
        if len(self._waiting) >= self._enough:
            self._submit()

    def add_all(self, bans: Sequence[Ban]) -> None:
        """Put bans into the kernel soon."""
        self._waiting += bans
        if len(self._waiting) >= self._enough:
            self._submit()

    def send(self) -> None:
        """Put what waits into the kernel now."""
        if self._waiting:
            self._submit()

    def failures(self) -> list[Failure]:
        """Return what the kernel refused, after the block of `with`. Raises what making and filling the table did."""
        return [failure for job in self._jobs for failure in job.result()]

    def _make(self) -> list[Failure]:
        self._table.make()
        return []

    def _submit(self) -> None:
        self.begin()
        bans, self._waiting = self._waiting, []
        self._enough = min(2 * self._enough, _HANDFUL)
        self._jobs.append(self._worker.submit(lambda: self._table.fill(bans, self._clock())))
