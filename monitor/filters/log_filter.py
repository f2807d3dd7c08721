"""Applies one filter to lines and returns failures; its only state is the connections and dates it remembers."""

import datetime
import enum
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.filters.connections import Connections, make_connections
from monitor.filters.dates import DateDetector
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.envelope import plain, programs, retold
from monitor.filters.expressions import Expression, shared_expressions
from monitor.filters.forms import Forms, shared_forms
from monitor.filters.fusion import shared_fusion
from monitor.filters.groups import Values
from monitor.filters.line_buffer import LineBuffer


class FilterStats(msgspec.Struct):
    """Counters of one filter; all are totals."""

    candidates: int = 0
    """Lines that were examined."""
    failures: int = 0
    """Failures found."""
    unproven: int = 0
    """Failures that prove nothing, so that they only shun."""
    ignored: int = 0
    """Lines that matched a failregex and an ignoreregex."""
    unusable: int = 0
    """Failures without an address: they contain a host name (names are never resolved) or other text."""
    misdated: int = 0
    """Lines dated in the future, or long before they were written: counted as of now."""
    outdated: int = 0
    """Lines written before the start that are older than findtime, or that were read before: ignored."""
    stale: int = 0
    """Lines that appeared just now with an old date, which no wrong time zone explains: ignored."""
    timeouts: int = 0
    """Lines whose examination was stopped because it took too long."""
    skipped: int = 0
    """Lines that an expression was not tried on, because it takes too long on lines of this length."""
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


class Lack(enum.Enum):
    """Why a line that a failregex matched is no failure of its own."""

    FAILURE = enum.auto()
    """The expression says so (NOFAIL): the line only adds information for other lines."""
    SOURCE = enum.auto()
    """A failure without an address: its group is empty, or what it matched is only a part of a longer word."""
    SOURCE_SO_FAR = enum.auto()
    """A failure whose address another line of its connection must give."""


class Missed(NamedTuple):
    """No failure: nothing matched, or something is missing."""

    expression: int | None = None
    lack: Lack = Lack.FAILURE


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
        self.expressions = shared_expressions(definition)
        try:
            self.dates = DateDetector(definition.datepattern, timezone=timezone)
        except ValueError as error:
            raise FilterError(f"filter {definition.name} ({definition.origin or 'built in'}): {error}") from error
        self.doubt = ""
        """Why the last failure that proves nothing does so."""
        self.connections = make_connections()
        """What all lines report."""
        self.proven_connections = make_connections()
        """What lines that prove report: no other line adds to them."""
        self._last_s = float("-inf")
        self._programs = programs(definition)
        self._is_foreign = definition.origin.endswith(".conf")
        """Whether it is one of fail2ban's, which may be written for the forms of the syslog protocol."""
        self._has_buffers = definition.maxlines > 1
        self._buffers = (LineBuffer(definition.maxlines), LineBuffer(definition.maxlines))
        """The previous lines: those that prove nothing, and those that prove."""
        self._fusion = None if self._has_buffers else shared_fusion(self.expressions)
        self.attempt: int | None = None
        """The number of the failregex that was tried last; None: what all have in common, such as the prefregex."""
        self.everything = range(len(self.expressions.fail))
        """The numbers of all expressions, for lines that were not scanned."""

    def use_python(self) -> None:
        """Have every line examined in Python; must be called before the first."""
        self.connections, self.proven_connections = Connections(), Connections()

    def examine(
        self,
        text: str,
        candidates: Sequence[int],
        now_s: float,
        time_s: float | None = None,
        proves: bool = False,  # noqa: FBT001, FBT002 - called for each line, by a function that takes no keywords
    ) -> Outcome:
        """Match a line (with its newline) against the failregex with these numbers, at least one, in this order.

        `now_s` is wall time, for dates without a year; `time_s` is the time of the line if its source knows it: then
        the line contains no date. What a line that `proves` yields rests on no line that proves nothing. A Deadline may
        raise TooSlow in here; the line then leaves no state.
        """
        outcome = self._examine_at_once(text, candidates[0], now_s, time_s, proves)
        if outcome is not None:
            return outcome
        if text.startswith("<") and time_s is None and (bare := plain(text)) != text:
            outcome = self._examine_by_steps(bare, candidates, now_s, time_s, proves)
            if outcome != _NOTHING or not self._is_foreign:
                return outcome
        return self._examine_by_steps(text, candidates, now_s, time_s, proves)

    def forms(self, *, is_timed: bool) -> Forms | None:
        """Return what decides lines at once in the native extension; None: nothing does now.

        `is_timed`: the source knows the time of each line, which contains no date.
        """
        template = None if is_timed else self.dates.fixed_template
        if self._fusion is None or not (template or is_timed):
            return None
        return shared_forms(self._fusion, template, len(self.everything))

    def give_up(self) -> None:
        """Forget the previous lines: with the next line they would take too long again."""
        for buffer in self._buffers:
            buffer.clear()

    def _examine_at_once(
        self,
        text: str,
        number: int,
        now_s: float,
        time_s: float | None,
        proves: bool,  # noqa: FBT001
    ) -> Outcome | None:
        """Try date, prefix and the first candidate as one expression; None if the single steps must decide."""
        if self._fusion is None:
            return None
        if time_s is not None:
            fused = self._fusion.plain(number)
        elif template := self.dates.fixed_template:
            fused = self._fusion.dated(number, template)
        else:
            return None
        self.attempt = number
        if fused is None or (match := fused.pattern.match(text)) is None:
            return None
        if time_s is None:
            time_s = self.dates.known_s(match, now_s)
            if time_s is None:
                dated = self.dates.find(text[:-1], now_s)
                if dated is None or dated.time_s is None:
                    return None
                time_s = dated.time_s
            self._last_s = time_s
        return self._conclude(number, fused.values(match), fused.is_connected, time_s or now_s, time_s, proves)

    def _examine_by_steps(
        self,
        text: str,
        candidates: Sequence[int],
        now_s: float,
        time_s: float | None,
        proves: bool,  # noqa: FBT001
    ) -> Outcome:
        self.attempt = None
        is_timed = time_s is not None
        if time_s is None:
            if (dated := self.dates.find(text[:-1], now_s)) is not None:
                text = text[: dated.start] + text[dated.end :]
                time_s = dated.time_s
            if time_s is not None:
                self._last_s = time_s
        buffer = self._buffers[proves]
        if self._has_buffers:
            if time_s is None and self._last_s > now_s - _STILL_S:
                time_s = self._last_s
            text = buffer.add(text)
        hit = self._search(text, candidates)
        if hit is _NOTHING and not self._has_buffers:
            hit = self._search_again(text, candidates, is_journal=is_timed)
        if not isinstance(hit, _Hit):
            return hit
        if self._has_buffers and self.expressions.is_ignored(buffer.take(hit.match)):
            return Ignored(hit.number)
        values = hit.expression.values(hit.match)
        if hit.prefix:
            # A group that took no part in the match leaves the prefix's value, as in fail2ban 1.1.1
            values = hit.prefix | {name: value for name, value in values.items() if value is not None}
        return self._conclude(hit.number, values, hit.expression.is_connected, time_s or now_s, time_s, proves)

    def _search_again(self, text: str, candidates: Sequence[int], *, is_journal: bool) -> _Hit | Ignored | Missed:
        """Try the forms of a line without what is said twice; the journal's entries are all of the filter's units."""
        for form in retold(text, self._programs, is_ours=is_journal and bool(self._programs)):
            if (hit := self._search(form, candidates)) is not _NOTHING:
                return hit
        return _NOTHING

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
            self.attempt = number
            match = expression.search(text)
            if match:
                if expressions.ignore and not self._has_buffers and expressions.is_ignored(text):
                    return Ignored(number)
                return _Hit(number, expression, match, prefix)
        return _NOTHING

    def _conclude(
        self,
        number: int,
        values: Values,
        is_connected: bool,  # noqa: FBT001
        when_s: float,
        time_s: float | None,
        proves: bool,  # noqa: FBT001
    ) -> Outcome:
        """Return the failure with its source, if the match is a failure."""
        identity = values.pop("mlfid", None) if is_connected else None
        connections = self.proven_connections if proves else self.connections
        if identity is not None:
            if proves:
                # Later lines that prove nothing may complete what this one reports, but not the other way round
                self.connections.merge(identity, dict(values), when_s)
            merged = connections.merge(identity, values, when_s)
            self.stats.evicted = self.connections.evicted + self.proven_connections.evicted
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
                connections.wait(identity)
                return Missed(number, Lack.SOURCE_SO_FAR)
            self.stats.unusable += 1
            return Missed(number, Lack.SOURCE)
        is_name = not address and host == values.get("dns")
        return Found(number, host, is_name, values.get("user") or "", values.get("cidr"), time_s)
