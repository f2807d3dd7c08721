"""How far a command is that reads for long: on a terminal, once a second, in a line that is gone when it ends."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from monitor.cli import show

if TYPE_CHECKING:
    from monitor.recording.inputs import Input, Skipped
    from monitor.recording.reader import Recording

_REPORT_EVERY_S = 1.0
_ITEMS_BETWEEN_LOOKS = 256
Item = TypeVar("Item")


def watched(items: Iterable[Item], describe: Callable[[Item], str]) -> Iterator[Item]:
    """Yield items; say how far it is."""
    if not sys.stderr.isatty():
        yield from items
        return
    next_s = time.monotonic() + _REPORT_EVERY_S
    has_shown = False
    try:
        for number, one in enumerate(items):
            yield one
            if number % _ITEMS_BETWEEN_LOOKS == 0 and (now_s := time.monotonic()) >= next_s:
                next_s, has_shown = now_s + _REPORT_EVERY_S, True
                show.progress(describe(one))
    finally:
        if has_shown:
            show.progress("")


def through(recording: "Recording", since_s: float) -> "Callable[[Input | Skipped], str]":
    """Return what says how much of a recording was read, from a time on."""
    span_s: tuple[float, float] | None = None

    def describe(one: "Input | Skipped") -> str:
        nonlocal span_s
        span_s = span_s or recording.span_s() or (one.time_s, one.time_s)
        first_s, last_s = max(span_s[0], since_s), span_s[1]
        share = (one.time_s - first_s) / (last_s - first_s) if last_s > first_s else 1.0
        return f"{min(1.0, max(0.0, share)):.0%} of the history, up to {show.moment(one.time_s)}"

    return describe
