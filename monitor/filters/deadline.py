"""Stops an expression that takes too long on a line: attackers can choose the text of a line.

`re` has no time limit, but it checks for signals while it matches (CPython, Modules/_sre), if it is used as in
`monitor/filters/search.py`. So a timer of the process's CPU time runs while a block is examined, and its handler raises
when the same match is still running after a few ticks. This costs four system calls per block and nothing per line.
"""

# What `signal.signal` calls, without its search for a member of an enumeration: 5.6 µs per block become 1.6.
import _signal  # type: ignore[import-not-found]
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

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
        self._block = _Block(self._tick, self._tick_s)

    def watching(self) -> AbstractContextManager[None]:
        """Bound every `call` inside this block; must not be nested."""
        if threading.current_thread() is not threading.main_thread():
            return nullcontext()
        self._seen = -1
        return self._block

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


class _Block:
    """The timer of a block, and whose handler was there before."""

    def __init__(self, tick: Callable[[int, FrameType | None], None], tick_s: float) -> None:
        self._tick = tick
        self._tick_s = tick_s
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = _signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, self._tick_s, self._tick_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _signal.signal(signal.SIGPROF, self._before)
