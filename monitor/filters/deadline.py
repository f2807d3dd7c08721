"""Stops an expression that takes too long on a line: attackers can choose the text of a line.

`re` has no time limit, but it checks for signals while it matches (CPython, Modules/_sre). So a timer of the process's
CPU time runs while a block is examined, and its handler raises when the same match is still running as at the previous
tick. This costs two system calls per block and nothing per line.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class TooSlow(Exception):  # noqa: N818 - not an error: the caller counts it
    """A call was stopped because it took too long."""


class Deadline:
    """Bounds the duration of calls inside `watching`; without effect in threads other than the main one.

    A call is stopped after one to two times `timeout_s` of CPU time.
    """

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is CPU time of the whole process, in seconds: load from other processes does not count."""
        self._timeout_s = timeout_s
        self._calls = 0
        self._seen = -1
        self._is_inside = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Bound every `call` inside this block; must not be nested."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._seen = -1
        before = signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, self._timeout_s, self._timeout_s)
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
        if self._is_inside and self._seen == self._calls:
            self._seen = -1
            raise TooSlow
        self._seen = self._calls
