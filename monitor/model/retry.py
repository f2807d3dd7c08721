"""When to try again what failed, and one thread for work that waits."""

import time
from collections.abc import Callable
from concurrent import futures
from typing import ParamSpec, TypeVar

from monitor.model.errors import TemporaryError

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Backoff:
    """Doubles the pause after each failure, up to a limit. After a quiet time of that length it starts anew.

    Most faults pass at once: the first attempt comes soon, since a source that is closed sees nothing. A source that
    opens and fails again each time is opened at the pace of the limit.
    """

    def __init__(
        self, first_s: float = 1.0, limit_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` is monotonic, in seconds."""
        self._first_s = first_s
        self._limit_s = limit_s
        self._clock = clock
        self._pause_s = 0.0
        self._due_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether the pause is over."""
        return self._clock() >= self._due_s

    def reset(self) -> None:
        """Start again with the first pause: it is certain that it works."""
        self._due_s = float("-inf")

    def failed(self) -> float:
        """Note a failure; return the pause before the next attempt, in seconds."""
        now_s = self._clock()
        is_new = now_s - self._due_s > self._limit_s
        self._pause_s = self._first_s if is_new else min(2 * self._pause_s, self._limit_s)
        self._due_s = now_s + self._pause_s
        return self._pause_s


class Worker:
    """One thread for work that waits. It is started before it is needed, so that work never waits for a thread.

    An executor keeps what it was given when its thread cannot be started, and would run it later although the caller
    was told that it failed.
    """

    def __init__(self, name: str) -> None:
        """Start the thread; if that fails, the first work tries again."""
        self._name = name
        self._executor: futures.ThreadPoolExecutor | None = self._started()

    @property
    def is_running(self) -> bool:
        """Whether there is a thread; `submit` tries again to start one."""
        return self._executor is not None

    def submit(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> futures.Future[_T]:
        """Have the thread do this. Without a thread it will not be done: the future has failed with TemporaryError."""
        self._executor = self._executor or self._started()
        if self._executor:
            return self._executor.submit(work, *args, **kwargs)
        refused: futures.Future[_T] = futures.Future()
        refused.set_exception(TemporaryError("the system has no thread to spare"))
        return refused

    def shutdown(self, *, cancel: bool = False) -> None:
        """Take no more work; with `cancel` what waits is dropped."""
        if self._executor:
            self._executor.shutdown(wait=False, cancel_futures=cancel)

    def _started(self) -> futures.ThreadPoolExecutor | None:
        executor = futures.ThreadPoolExecutor(1, self._name)
        try:
            executor.submit(int)
        except RuntimeError:  # can't start new thread
            executor.shutdown(wait=False, cancel_futures=True)
            return None
        return executor
