"""Confirms the candidates of one block of lines and returns the failures."""

import enum
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor.filters.breaker import SLOW_S, Breaker
from monitor.filters.confirmation import confirmation_of
from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.evidence import doubt
from monitor.filters.log_filter import Found, Ignored, LogFilter, Outcome
from monitor.filters.scanner import Candidate
from monitor.model.addresses import Address, parse_address
from monitor.model.alerts import MAX_LAST, Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import CUT, LogBlock
from monitor.native import extension

_MAX_USER = 64
_ODD_S = 60.0
"""A line that was just written and whose date differs by more than this has a wrong clock or time zone."""
_ZONE_STEP_S = 900.0
"""Zones differ by multiples of a quarter of an hour."""
_ZONES_S = 26 * 3600.0
"""The largest difference between two zones: UTC+14 and UTC-12."""

_Step = tuple["ActiveFilter", str, Sequence[int], float | None, str, float | None]
"""A filter, a line with its newline, the expressions to try, the time of a line without a date, why the line proves
nothing, and the time of the line if the source knows it."""


class ActiveFilter(NamedTuple):
    """A filter that works for a detector."""

    detector: str
    log_filter: LogFilter
    findtime_s: float
    """Maximum age of lines that were written before the start."""
    breaker: Breaker
    """What it may examine after it took too long."""


class _Pause(enum.Enum):
    """Something was done that is not due to the next line."""

    WORKED = enum.auto()
    LATE = enum.auto()
    """The time is up."""


class _Times:
    """The times of the lines of a block, as far as its source knows them."""

    def __init__(self, block: LogBlock) -> None:
        """Start at the first line."""
        self._block = block
        self._seen = self._number = 0

    def at(self, start: int) -> tuple[float | None, float | None]:
        """Return the time of the line that starts there, if it has no date, and in any case if it is known.

        Lines must be asked for in their order.
        """
        block = self._block
        if not block.times_s:
            return None, None
        self._number += block.data.count(b"\n", self._seen, start)
        self._seen = start
        known_s: float | None = block.times_s[self._number]
        if known_s is not None and block.is_wrapped and math.isnan(known_s):
            known_s = None
        return None if block.is_wrapped else known_s, known_s


class _Costs:
    """Measures what slow lines cost in CPU time, without a system call for others."""

    def __init__(self, now_s: float) -> None:
        self._wall_s, self._cpu_s = now_s, time.thread_time()

    def charge(self, active: ActiveFilter, length: int, start_s: float, end_s: float, *, number: int | None) -> None:
        """Charge a line of this many characters if it cost much; its time on the monotonic clock says at most how much.

        What was done since the last call and before the line took no more CPU time than wall time.
        """
        cpu_s = time.thread_time()
        cost_s = cpu_s - self._cpu_s - (start_s - self._wall_s)
        self._wall_s, self._cpu_s = end_s, cpu_s
        if cost_s >= SLOW_S:
            active.breaker.charge(number, length, cost_s, end_s)


class Scan:
    """The candidates of one block. It can pause and continue, so a pathological log line cannot stall the rest."""

    def __init__(
        self,
        block: LogBlock,
        work: Iterable[tuple[ActiveFilter, Sequence[Candidate]]],
        deadline: Deadline,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`work` lists the lines that each filter must examine, and waits for that until `is_ready`.

        Nothing is done yet.
        """
        self.has_more = False
        """Whether the last run stopped before the end of the block."""
        self._is_ready: Callable[[], bool] | None = is_ready
        self._block = block
        self._until_s = math.inf
        self._events: list[AuthFailure] = []
        self._steps = self._work(work)
        self._deadline = deadline

    @property
    def is_waiting(self) -> bool:
        """Whether filters are still being compiled."""
        if self._is_ready is not None and self._is_ready():
            self._is_ready = None
        return self._is_ready is not None

    def run(self, until_s: float = math.inf) -> list[AuthFailure]:
        """Continue until the end or until `until_s` (monotonic clock, in seconds); return the failures found.

        With an end it does not wait for filters that are being compiled. The failures of one detector are in the order
        of the lines. Never raises because of the content of a line.
        """
        self.has_more = self.is_waiting and until_s < math.inf
        return [] if self.has_more else self._run(until_s)

    def _run(self, until_s: float) -> list[AuthFailure]:
        self._until_s = until_s
        read_s, call, clock = self._block.read_s, self._deadline.call, time.monotonic
        with self._deadline.watching():
            costs = _Costs(before_s := clock())
            for step in self._steps:
                if isinstance(step, _Pause):
                    before_s = clock()
                    if step is _Pause.LATE:
                        self.has_more = True
                        break
                    continue
                active, text, numbers, time_s, reason, known_s = step
                log_filter, breaker = active.log_filter, active.breaker
                stats = log_filter.stats
                stats.candidates += 1
                if breaker.limits:
                    wanted, numbers = numbers, breaker.allowed(numbers, len(text), before_s)
                    stats.skipped += len(numbers) < len(wanted)
                outcome: Outcome | None = None
                is_slow = False
                try:
                    outcome = call(log_filter.examine, text, numbers, read_s, time_s, not reason) if numbers else None
                except TooSlow:
                    stats.timeouts += 1
                    is_slow = True
                    log_filter.give_up()
                if outcome is not None:
                    self._enter(active, outcome, reason, known_s, text)
                now_s = clock()
                if is_slow or now_s - before_s >= SLOW_S:
                    costs.charge(active, len(text), before_s, now_s, number=_slow_one(log_filter, numbers, is_slow))
                before_s = now_s
                if now_s >= until_s:
                    self.has_more = True
                    break
        events = self._events[:]
        self._events.clear()
        return events

    def _work(self, work: Iterable[tuple[ActiveFilter, Sequence[Candidate]]]) -> Iterator[_Step | _Pause]:
        """Yield what to examine, and when something else was done, such as finding the candidates.

        What the native extension can confirm is confirmed in here.
        """
        block = self._block
        text = block.data.decode() if extension is None and block.data.isascii() else None
        for active, candidates in work:
            everything, limits = active.log_filter.everything, active.breaker.limits
            reason = doubt(active.log_filter.definition.evidence, block.writer, is_cut=block.is_cut)
            native = confirmation_of(active, reason, block, candidates, self._events)
            times = _Times(block)
            index, total = 0, len(candidates)
            yield _Pause.WORKED
            while index < total:
                if native is not None and not limits:
                    before = index
                    index, is_late = native.run(index, self._until_s)
                    if index > before:
                        yield _Pause.LATE if is_late else _Pause.WORKED
                    if is_late or index == total:
                        continue
                start, end, numbers = candidates[index]
                index += 1
                if numbers is None:
                    numbers = everything
                if native is not None and native.warm(numbers[0]):
                    yield _Pause.WORKED
                line = text[start:end] if text is not None else block.data[start:end].decode(errors="replace")
                if block.is_cut:
                    line = f"{line[:-1]}{CUT.decode()}\n"
                time_s, known_s = times.at(start)
                yield active, line, numbers, time_s, reason, known_s

    def _enter(self, active: ActiveFilter, outcome: Outcome, reason: str, known_s: float | None, text: str) -> None:
        """Count what a line says, and add the event if it is a failure; see `_event`."""
        if isinstance(outcome, Found):
            event = self._event(active, outcome, reason, known_s, text)
            if event is not None:
                self._events.append(event)
        elif isinstance(outcome, Ignored):
            active.log_filter.stats.ignored += 1

    def _event(
        self, active: ActiveFilter, found: Found, reason: str, known_s: float | None, text: str
    ) -> AuthFailure | None:
        """Return the event of a failure; None if it has no address or is too old.

        `reason`: why it proves nothing; `known_s`: the time of the line, if the source knows it; `text`: the line.
        """
        block, log_filter = self._block, active.log_filter
        stats = log_filter.stats
        address = _address(found)
        if address is None:
            stats.unusable += 1
            return None
        is_zoned = known_s is not None or log_filter.dates.is_zoned
        when_s = _when_s(active, block, found.time_s if known_s is None else known_s, is_zoned=is_zoned)
        if when_s is None:
            return None
        stats.failures += 1
        if reason:
            stats.unproven += 1
            log_filter.doubt = reason
        strength = Strength.SPOOFABLE if reason else Strength.PROVEN
        length = int(cidr) if (cidr := found.cidr or "").isdecimal() and len(cidr) < 4 else None
        if length is not None and length > 8 * len(address):
            length = None
        user, line = found.user[:_MAX_USER], text[:MAX_LAST].rstrip()
        return AuthFailure(when_s, active.detector, address, strength, block.log, user, length, reason, line)


def _slow_one(log_filter: LogFilter, numbers: Sequence[int], is_stopped: bool) -> int | None:  # noqa: FBT001
    """Return the number of the failregex that was slow: the one that was stopped, or the only one that was tried."""
    return log_filter.attempt if is_stopped or len(numbers) == 1 else None


def _when_s(active: ActiveFilter, block: LogBlock, time_s: float | None, *, is_zoned: bool) -> float | None:
    """Return the wall time of a failure; None if it is too old to count.

    A line that was written while we read happened now, whatever its date is, unless it is an old line: a log that is
    rewritten yields these anew. A line written before the start counts by its date; without a date its time is unknown
    and it is ignored. `is_zoned`: the date says its zone, so that no zone of the log explains a wrong one.
    """
    now_s, stats = block.read_s, active.log_filter.stats
    if time_s is not None and time_s < block.after_s:
        stats.outdated += 1
        return None
    if block.is_live:
        if time_s is None:
            return now_s
        if abs(time_s - now_s) <= _ODD_S:
            return min(time_s, now_s)
        age_s = now_s - time_s
        if age_s > active.findtime_s + _ODD_S and (is_zoned or not _is_zone_difference(age_s)):
            stats.stale += 1
            return None
        stats.misdated += 1
        return now_s
    if time_s is None or time_s < now_s - active.findtime_s:
        stats.outdated += 1
        return None
    if time_s > now_s + _ODD_S:
        stats.misdated += 1
    return min(time_s, now_s)


def _is_zone_difference(age_s: float) -> bool:
    """Whether a line that was written now seems to be this old as its date is read in the wrong zone."""
    away_s = (age_s + _ZONE_STEP_S / 2) % _ZONE_STEP_S - _ZONE_STEP_S / 2
    return age_s <= _ZONES_S + _ODD_S and abs(away_s) <= _ODD_S


def _address(found: Found) -> Address | None:
    """Return the source address; None for names, which are never resolved, and for other text."""
    if found.is_name:
        return None
    try:
        return _parsed(found.host)
    except ValueError:
        return None


_parsed = functools.lru_cache(maxsize=4096)(parse_address)
"""Cached, because a source that fails once usually fails again."""
