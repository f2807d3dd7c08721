"""Stops an expression that takes too long on a line: attackers can choose the text of a line.

`re` has no time limit, but it checks for signals while it matches (CPython, Modules/_sre), if it is used as in
`monitor/filters/search.py`. So a timer of the process's CPU time runs while a block is examined, and its handler raises
when the same match is still running after a few ticks. This costs two system calls per block and nothing per line.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
_TICKS = 4
"""Per time limit: how exact it is."""


class TooSlow(Exception):  # noqa: N818 - not an error: the caller counts it
    """A call was stopped because it took too long."""


class Deadline:
    """Bounds the duration of calls inside `watching`; without effect in threads other than the main one.

    A call is stopped after one to one and a quarter times `timeout_s` of CPU time, or at the kernel's next tick.
    """

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is CPU time of the whole process, in seconds: load from other processes does not count."""
        self._tick_s = timeout_s / _TICKS
        self._rest_s = timeout_s - self._tick_s
        self._calls = 0
        self._seen = -1
        self._seen_s = 0.0
        self._is_inside = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Bound every `call` inside this block; must not be nested."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._seen = -1
        before = signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, self._tick_s, self._tick_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return what `function` returns; TooSlow if it takes too long."""
        self._calls += 1
        self._is_inside = True
        try:
            return function(*arguments, **named)
        finally:
            self._is_inside = False

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        now_s = time.process_time()
        if not self._is_inside or self._seen != self._calls:
            self._seen, self._seen_s = self._calls, now_s
        elif now_s - self._seen_s >= self._rest_s:
            self._seen = -1
            raise TooSlow
