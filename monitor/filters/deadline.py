"""Stops an expression that takes too long on a line: attackers write these lines.

`re` cannot be given a time limit, but it looks for signals while it matches (CPython, Modules/_sre). So a timer of the
process's own CPU time runs while a block is examined, and its handler raises when it finds the same confirmation under
way as the last time. That costs two system calls a block and nothing a line.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class TooSlow(Exception):  # noqa: N818 - it says what happened; the caller counts it
    """A confirmation was stopped."""


class Deadline:
    """Bounds calls that run within `watching`; in threads other than the main one nothing is bounded.

    A call is stopped after one to two times `timeout_s` of CPU time.
    """

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is CPU time of the whole process, in seconds: a busy machine stops nothing by itself."""
        self._timeout_s = timeout_s
        self._calls = 0
        self._seen = -1
        self._is_inside = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Bound every `call` until the end of this block; not to be nested."""
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
        """Return what `function` returns; TooSlow if it takes longer than is allowed."""
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
