"""A block of lines on its way through the filters: candidates are confirmed, failures come out."""

import functools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.log_filter import Found, Ignored, LogFilter
from monitor.filters.scanner import Candidate
from monitor.model.addresses import Address, parse_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_MAX_USER = 64
_ODD_S = 60.0
"""A line that was just written, but is dated further away than this, has a wrong clock or time zone."""

_Step = tuple["Reader", str, Sequence[int], float | None]
"""A filter, a line with its newline, the expressions to try, and the line's time where the source knows it."""


class Reader(NamedTuple):
    """A filter at work for a detector."""

    detector: str
    log_filter: LogFilter
    findtime_s: float
    """How far back lines count that were written before we read."""


class Scan:
    """One block's candidates; it can be left in between and taken up again, so that hostile lines hold up nobody."""

    def __init__(self, block: LogBlock, work: Iterable[tuple[Reader, Sequence[Candidate]]], deadline: Deadline) -> None:
        """`work` says which lines each filter should look at; nothing is done yet."""
        self.has_more = False
        """Whether the last run stopped before the end."""
        self._block = block
        self._steps = _steps(block, work)
        self._deadline = deadline

    def run(self, until_s: float = math.inf) -> list[AuthFailure]:
        """Go on until all is done or it is `until_s` (of the monotonic clock, in seconds); return failures found.

        Each detector's come in the order of its lines. Never raises for what lines hold.
        """
        events: list[AuthFailure] = []
        read_s, call, clock = self._block.read_s, self._deadline.call, time.monotonic
        self.has_more = False
        with self._deadline.watching():
            for reader, text, numbers, time_s in self._steps:
                log_filter = reader.log_filter
                stats = log_filter.stats
                stats.candidates += 1
                try:
                    outcome = call(log_filter.examine, text, numbers, read_s, time_s)
                except TooSlow:
                    stats.timeouts += 1
                    log_filter.give_up()
                else:
                    if isinstance(outcome, Found):
                        event = self._event(reader, outcome)
                        if event is not None:
                            events.append(event)
                    elif isinstance(outcome, Ignored):
                        stats.ignored += 1
                if clock() >= until_s:
                    self.has_more = True
                    break
        return events

    def _event(self, reader: Reader, found: Found) -> AuthFailure | None:
        """Say whose failure it is, and of when; None if nobody can tell, or it is too old."""
        block, log_filter = self._block, reader.log_filter
        stats = log_filter.stats
        address = _address(found)
        if address is None:
            stats.unusable += 1
            return None
        when_s = _when_s(reader, block, found.time_s)
        if when_s is None:
            return None
        stats.failures += 1
        is_proof = block.is_trusted and not log_filter.definition.is_spoofable
        strength = Strength.PROVEN if is_proof else Strength.SPOOFABLE
        length = int(found.cidr) if found.cidr and len(found.cidr) < 4 else None
        if length is not None and length > 8 * len(address):
            length = None
        return AuthFailure(when_s, reader.detector, address, strength, block.log, found.user[:_MAX_USER], length)


def _when_s(reader: Reader, block: LogBlock, time_s: float | None) -> float | None:
    """Return the wall time of a failure; None if it is too old to count.

    A line that was written while we read happened now, whatever its date says. One from before counts by its date:
    without one nobody knows.
    """
    now_s, stats = block.read_s, reader.log_filter.stats
    if block.is_live:
        if time_s is None:
            return now_s
        if abs(time_s - now_s) <= _ODD_S:
            return min(time_s, now_s)
        stats.misdated += 1
        return now_s
    if time_s is None or time_s < now_s - reader.findtime_s:
        stats.outdated += 1
        return None
    if time_s > now_s + _ODD_S:
        stats.misdated += 1
    return min(time_s, now_s)


def _address(found: Found) -> Address | None:
    """Return whose failure it is; None for names, which are never resolved, and for text that is no address."""
    if found.is_name:
        return None
    try:
        return _parsed(found.host)
    except ValueError:
        return None


_parsed = functools.lru_cache(maxsize=4096)(parse_address)
"""Who fails once, fails again."""


def _steps(block: LogBlock, work: Iterable[tuple[Reader, Sequence[Candidate]]]) -> Iterator[_Step]:
    data, times_s = block.data, block.times_s
    text = data.decode() if data.isascii() else None
    time_s = None
    for reader, candidates in work:
        everything = reader.log_filter.everything
        seen = line_number = 0
        for start, end, numbers in candidates:
            if times_s:
                line_number += data.count(b"\n", seen, start)
                seen = start
                time_s = times_s[line_number]
            line = text[start:end] if text is not None else data[start:end].decode(errors="replace")
            yield reader, line, everything if numbers is None else numbers, time_s
