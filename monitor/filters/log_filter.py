"""Applies one filter to lines and returns failures; its only state is the connections and dates it remembers."""

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.filters.connections import Connections
from monitor.filters.dates import DateDetector
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.expressions import Expression, Expressions, Values
from monitor.filters.fusion import Fusion
from monitor.filters.line_buffer import LineBuffer


class FilterStats(msgspec.Struct):
    """Counters of one filter; all are totals."""

    candidates: int = 0
    """Lines that were examined."""
    failures: int = 0
    """Failures found."""
    ignored: int = 0
    """Lines that matched a failregex and an ignoreregex."""
    unusable: int = 0
    """Failures without an address: they contain a host name (names are never resolved) or other text."""
    misdated: int = 0
    """Lines dated in the future, or long before they were written: counted as of now."""
    outdated: int = 0
    """Lines written before the start that are older than findtime: ignored."""
    timeouts: int = 0
    """Lines whose examination was stopped because it took too long."""
    evicted: int = 0
    """Connections forgotten early because there were too many: their failures may lack an address."""


class Found(NamedTuple):
    """A failure in a line, with its source as the line gives it."""

    expression: int
    """The number of the failregex that matched, from 0."""
    host: str
    is_name: bool
    """Whether `host` is not an address but a name, which is never resolved."""
    user: str
    cidr: str | None
    time_s: float | None
    """The time of the line's date; None if it has no readable date."""


class Ignored(NamedTuple):
    """An ignoreregex matched."""

    expression: int | None
    """The number of the failregex that matched first, if any."""


class Missed(NamedTuple):
    """No failure: nothing matched, or the line only adds information for other lines (NOFAIL)."""

    expression: int | None = None


_STILL_S = 60.0
"""Where expressions span lines, a line without a date gets the time of the last dated line, if that is not older."""

Outcome = Found | Ignored | Missed
_NOTHING = Missed()


class _Hit(NamedTuple):
    number: int
    expression: Expression
    match: re.Match[str]
    prefix: Values


class LogFilter:
    """A compiled filter with its state; lines must come in the order of the log."""

    def __init__(self, definition: FilterDefinition, timezone: datetime.tzinfo | None = None) -> None:
        """Compile; FilterError on a fault. `timezone` applies to dates without a zone; None: the system's."""
        self.definition = definition
        self.stats = FilterStats()
        self.expressions = Expressions(definition)
        try:
            self.dates = DateDetector(definition.datepattern, timezone=timezone)
        except ValueError as error:
            raise FilterError(f"filter {definition.name} ({definition.origin or 'built in'}): {error}") from error
        self.connections = Connections()
        self._last_s = float("-inf")
        self._buffer = LineBuffer(definition.maxlines) if definition.maxlines > 1 else None
        self._fusion = Fusion(self.expressions) if self._buffer is None else None
        self.everything = range(len(self.expressions.fail))
        """The numbers of all expressions, for lines that were not scanned."""

    def examine(self, text: str, candidates: Sequence[int], now_s: float, time_s: float | None = None) -> Outcome:
        """Match a line (with its newline) against the failregex with these numbers, at least one, in this order.

        `now_s` is wall time, for dates without a year; `time_s` is the time of the line if its source knows it: then
        the line contains no date. A Deadline may raise TooSlow in here; the line then leaves no state.
        """
        outcome = self._examine_at_once(text, candidates[0], now_s, time_s)
        return self._examine_by_steps(text, candidates, now_s, time_s) if outcome is None else outcome

    def give_up(self) -> None:
        """Forget the previous lines: with the next line they would take too long again."""
        if self._buffer:
            self._buffer.clear()

    def _examine_at_once(self, text: str, number: int, now_s: float, time_s: float | None) -> Outcome | None:
        """Try date, prefix and the first candidate as one expression; None if the single steps must decide."""
        if self._fusion is None:
            return None
        if time_s is not None:
            fused = self._fusion.plain(number)
        elif template := self.dates.fixed_template:
            fused = self._fusion.dated(number, template)
        else:
            return None
        if fused is None or (match := fused.pattern.match(text)) is None:
            return None
        if time_s is None:
            time_s = self.dates.known_s(match, now_s)
            if time_s is None:
                return None
            self._last_s = time_s
        return self._conclude(number, fused.values(match), fused.is_connected, now_s, time_s)

    def _examine_by_steps(self, text: str, candidates: Sequence[int], now_s: float, time_s: float | None) -> Outcome:
        if time_s is None:
            if (dated := self.dates.find(text[:-1], now_s)) is not None:
                text = text[: dated.start] + text[dated.end :]
                time_s = dated.time_s
            if time_s is not None:
                self._last_s = time_s
        if self._buffer:
            if time_s is None and self._last_s > now_s - _STILL_S:
                time_s = self._last_s
            text = self._buffer.add(text)
        hit = self._search(text, candidates)
        if not isinstance(hit, _Hit):
            return hit
        if self._buffer and self.expressions.is_ignored(self._buffer.take(hit.match)):
            return Ignored(hit.number)
        values = hit.expression.values(hit.match)
        if hit.prefix:
            values = hit.prefix | values
        return self._conclude(hit.number, values, hit.expression.is_connected, now_s, time_s)

    def _search(self, text: str, candidates: Sequence[int]) -> _Hit | Ignored | Missed:
        expressions = self.expressions
        if expressions.ignores_early and expressions.is_ignored(text):
            return Ignored(None)
        prefix: Values = {}
        if expressions.prefix:
            split = expressions.prefix.split(text)
            if split is None:
                return _NOTHING
            text, prefix = split
        for number in candidates:
            expression = expressions.fail[number]
            match = expression.pattern.search(text)
            if match:
                if expressions.ignore and not self._buffer and expressions.is_ignored(text):
                    return Ignored(number)
                return _Hit(number, expression, match, prefix)
        return _NOTHING

    def _conclude(self, number: int, values: Values, is_connected: bool, now_s: float, time_s: float | None) -> Outcome:  # noqa: FBT001
        """Return the failure with its source, if the match is a failure."""
        identity = values.pop("mlfid", None) if is_connected else None
        if identity is not None:
            merged = self.connections.merge(identity, values, time_s or now_s)
            self.stats.evicted = self.connections.evicted
            if merged is None:
                return Missed(number)
            values = merged
        elif values.get("nofail"):
            return Missed(number)
        address = values.get("ip4") or values.get("ip6")
        host = address or values.get("dns") or values.get("fid")
        if not host:
            if identity is not None:
                self.connections.wait(identity)
            return Missed(number)
        is_name = not address and host == values.get("dns")
        return Found(number, host, is_name, values.get("user") or "", values.get("cidr"), time_s)
