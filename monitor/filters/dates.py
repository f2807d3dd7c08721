"""Finds and reads the date in a log line as fail2ban does; each text is converted to a time only once.

Only the first 1,000 characters of a line are searched (all of it where a `datepattern` ends with `$`), so the time per
line is bounded however long it is.
"""

import datetime
import math
from collections.abc import Hashable
from re import Match
from typing import NamedTuple

from monitor.filters.date_templates import Seek, Template, templates

_MAX_KNOWN = 1024
_MAX_TEXT = 100
_UNUSED_S = 300.0
_FAR = 2**31 - 1
_DAY_S = 86400.0


class Dated(NamedTuple):
    """The part of a line to cut out, from `start` to before `end`, and the time that it gives.

    `time_s` is in seconds since the epoch; None if the date cannot be read (30 February), or if the pattern is meant to
    match no text (`{NONE}`, an empty group; then `start` equals `end`).
    """

    start: int
    end: int
    time_s: float | None
    is_zoned: bool = False
    """Whether the date says its zone itself."""


class _RankedTemplate:
    """A template of one detector, with its record so far."""

    __slots__ = ("distance", "hits", "is_matched", "known", "template", "used_s")

    def __init__(self, template: Template) -> None:
        self.template = template
        self.hits = 0
        self.is_matched = False
        self.used_s = 0.0
        self.distance = _FAR
        self.known: dict[Hashable, Dated] = {}
        """The results for texts of at most 100 characters; at most 1,024 of them."""

    @property
    def weight(self) -> float:
        return self.hits * self.template.weight / max(1, self.distance)


class _Edges(NamedTuple):
    """The position of the last date, and the characters on both sides of its start and end."""

    start: int = 1
    end: int = _FAR
    before: str = ""
    first: str = ""
    last: str = ""
    after: str = ""

    @classmethod
    def of(cls, line: str, start: int, end: int) -> "_Edges":
        before, first = line[max(start - 1, 0) : start], line[start : start + 1]
        return cls(start, end, before, first, line[max(end - 1, 0) : end], line[end : end + 1])

    def fit(self, line: str) -> bool:
        """Whether this line may contain a date at the position of the last one."""
        start, end, before, first, last, after = self
        return (
            line[max(start - 1, 0) : start] == before or (line[start : start + 1] == first and not first.isalnum())
        ) and (line[end : end + 1] == after or (line[end - 1 : end] == last and not last.isalnum()))


class DateDetector:
    """Finds dates by the templates of a `datepattern`; remembers which template the lines of the log follow.

    The template of the last line is tried first, at its last position. Templates anchored to the start of the line
    come before others. A date further right than usual counts only if no other template finds one further left.
    """

    def __init__(self, datepattern: str = "", *, timezone: datetime.tzinfo | None = None) -> None:
        """Take fail2ban's notation (`%%` already reduced to `%`), one pattern per line; empty: the default templates.

        `timezone` applies to dates without a zone; None: the system's. ValueError for an invalid pattern.
        """
        self._ranked = [_RankedTemplate(template) for template in templates(datepattern)]
        self._timezone = timezone
        self._last: _RankedTemplate | None = None
        self._direct: tuple[_RankedTemplate, Seek, int] | None = None
        self._edges = _Edges()
        self._used_total = 0
        self._from_s = self._until_s = math.nan
        self.is_zoned = False
        """Whether the last date that was read says its zone itself."""

    @property
    def template(self) -> str:
        """The template that matched last, in the notation of a `datepattern`; empty before the first match."""
        return self._last.template.name if self._last else ""

    @property
    def fixed_template(self) -> Template | None:
        """The template that matched last, if it can match only at the first character of a line."""
        return self._direct[0].template if self._direct else None

    def known_s(self, match: Match[str], now_s: float) -> float | None:
        """Return the time of a date that was read before, in seconds since the epoch; None: `find` must read it.

        `match` is the match of an expression that starts with that of `fixed_template`, with the same group numbers.
        """
        if self._direct is None or not self._from_s <= now_s < self._until_s:
            return None
        ranked = self._direct[0]
        key = match[1]
        if (fraction := ranked.template.fraction) and (dot := match.start(fraction)) >= 0:
            start = match.start(1)
            key = key[: dot - start] + key[match.end(fraction) - start :]
        dated = ranked.known.get(key)
        if dated is None:
            return None
        ranked.hits += 1
        ranked.used_s = now_s
        self.is_zoned = dated.is_zoned
        return dated.time_s

    def remembered(self, now_s: float) -> dict[Hashable, Dated] | None:
        """Return the dates of `fixed_template` that were read before, by their text; None if they do not hold now.

        `known_s` finds the same. `count` must be called for those that were of use.
        """
        return self._direct[0].known if self._direct and self._from_s <= now_s < self._until_s else None

    def count(self, total: int, now_s: float, *, is_zoned: bool) -> None:
        """Count remembered dates that were of use; `is_zoned` is of the last one."""
        if self._direct is not None:
            self._direct[0].hits += total
            self._direct[0].used_s = now_s
            self.is_zoned = is_zoned

    def find(self, line: str, now_s: float) -> Dated | None:
        """Find the date in a line without its newline; None if no template matches. Never raises.

        `now_s` is wall time, in seconds since the epoch: it determines the year or the day where the line lacks it.
        """
        if self._direct is not None:
            ranked, seek, end = self._direct
            if (match := seek(line, 0, end)) is not None:
                ranked.hits += 1
                ranked.used_s = now_s
                return self._dated(ranked, match, line, now_s)
        winner = self._choose(line)
        if winner is None:
            return None
        ranked, match = winner
        self._remember(ranked, match, line, now_s)
        return self._dated(ranked, match, line, now_s)

    def _dated(self, ranked: _RankedTemplate, match: Match[str], line: str, now_s: float) -> Dated:
        """Read a match, and note whether it says its zone."""
        dated = self._recalled(ranked, match, line, now_s)
        self.is_zoned = dated.is_zoned
        return dated

    def _recalled(self, ranked: _RankedTemplate, match: Match[str], line: str, now_s: float) -> Dated:
        """Read a match, or return the remembered result for its text."""
        start, end = match.span(1)
        if start >= end:
            return Dated(max(start, 0), max(end, 0), None)
        template = ranked.template
        if not template.is_memorable:
            reading = template.read(match, now_s, self._timezone)
            return Dated(start, end, reading.time_s, reading.is_zoned)
        if not self._from_s <= now_s < self._until_s:
            self._forget(now_s)
        key: Hashable = line[start:end]
        if template.time_groups:
            key = match.group(*template.time_groups)
        elif template.fraction and (dot := match.start(template.fraction)) >= 0:
            key = line[start:dot] + line[match.end(template.fraction) : end]
        dated = ranked.known.get(key)
        if dated is None:
            return self._read(ranked, key, match, now_s)
        if dated.start == start and dated.end == end:
            return dated
        return Dated(start, end, dated.time_s, dated.is_zoned)

    def _read(self, ranked: _RankedTemplate, key: Hashable, match: Match[str], now_s: float) -> Dated:
        """Read a match and remember the result for its text."""
        time_s, from_s, until_s, is_zoned = ranked.template.read(match, now_s, self._timezone)
        self._from_s, self._until_s = max(self._from_s, from_s), min(self._until_s, until_s)
        dated = Dated(*match.span(1), time_s, is_zoned)
        if dated.end - dated.start <= _MAX_TEXT:
            if len(ranked.known) >= _MAX_KNOWN:
                ranked.known.clear()
            ranked.known[key] = dated
        return dated

    def _forget(self, now_s: float) -> None:
        """Forget all results: the day has changed, or dates without a year or a day now mean another one."""
        self._from_s = now_s - now_s % _DAY_S
        self._until_s = self._from_s + _DAY_S
        for ranked in self._ranked:
            ranked.known.clear()

    def _choose(self, line: str) -> tuple[_RankedTemplate, Match[str]] | None:
        """Choose the template for a line and its match."""
        best = skipped = None
        if self._last is not None:
            match, is_usual, is_searched = self._match_last(self._last, line)
            if match is not None:
                best = self._last, match
                if is_usual or len(self._ranked) == 1:
                    return best
            skipped = self._last if is_searched else None
        for number, ranked in enumerate(self._ranked):
            if ranked is skipped or (match := _search(ranked, line)) is None:
                continue
            if self._is_final(number, match.start()):
                return ranked, match
            if best is None or match.start() < best[1].start():
                best = ranked, match
        return best

    def _match_last(self, last: _RankedTemplate, line: str) -> tuple[Match[str] | None, bool, bool]:
        """Try the last template; return its match, whether its position is the last one, whether it tried them all."""
        if self._direct is not None:
            return None, False, True  # `find` has tried it
        if last.template.is_anchored:
            return _search(last, line), True, True
        start, end = self._edges[:2]
        if self._edges.fit(line):
            match, is_searched = last.template.pattern.search(line, start, end), False
        else:
            match, is_searched = _search(last, line), True
        return match, match is not None and match.span() == (start, end), is_searched

    def _is_final(self, number: int, distance: int) -> bool:
        """Whether to accept a match at this distance from the start without trying the templates that follow."""
        ranked = self._ranked[number]
        if number + 1 >= len(self._ranked) or ranked.template.is_anchored:
            return True
        if distance == 0 and ranked.hits and not self._ranked[number + 1].is_matched:
            return True
        return distance <= ranked.distance and distance <= self._edges.start

    def _remember(self, ranked: _RankedTemplate, match: Match[str], line: str, now_s: float) -> None:
        """Record the position of the date and raise the rank of its template."""
        start, end = match.span()
        ranked.hits += 1
        ranked.used_s = now_s
        ranked.distance = start
        number = self._ranked.index(ranked)
        if number == self._used_total:
            self._used_total += 1
        self._edges = _Edges.of(line, start, end)
        if number and ranked is not self._last:
            self._raise(number)
        self._last = ranked
        template = ranked.template
        self._direct = (ranked, template.seek, template.end) if template.is_anchored and template.is_direct else None

    def _raise(self, number: int) -> None:
        """Move a template forward if it does better: to before the unused ones or halfway, otherwise by one."""
        ranked_templates = self._ranked
        ranked = ranked_templates[number]

        def outdoes(position: int) -> bool:
            other = ranked_templates[position]
            return ranked.weight > other.weight or ranked.used_s - _UNUSED_S > other.used_s

        position = self._used_total if self._used_total < number else number // 2
        if not outdoes(position):
            position = number - 1
            if not outdoes(position):
                return
        ranked_templates.insert(position, ranked_templates.pop(number))
        while self._used_total < len(ranked_templates) and ranked_templates[self._used_total].hits:
            self._used_total += 1


def _search(ranked: _RankedTemplate, line: str) -> Match[str] | None:
    match = ranked.template.seek(line, 0, ranked.template.end)
    if match is not None:
        ranked.is_matched = True
    return match
