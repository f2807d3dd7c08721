"""Finding and reading the date in a log line as fail2ban does it; what a text says is worked out once.

Only the first 1,000 characters of a line are searched (all of it where a `datepattern` ends with `$`), so a line costs
bounded time however long it is.
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
    """The part of a line to be cut out, from `start` to before `end`, and the time that it says.

    `time_s` is seconds since the epoch; None where the date cannot be read (30 February), or where the pattern matched
    nothing on purpose (`{NONE}`, an empty group; then `start` equals `end`).
    """

    start: int
    end: int
    time_s: float | None


class _Place:
    """A template of this detector, and how it did so far."""

    __slots__ = ("distance", "hits", "is_matched", "known", "template", "used_s")

    def __init__(self, template: Template) -> None:
        self.template = template
        self.hits = 0
        self.is_matched = False
        self.used_s = 0.0
        self.distance = _FAR
        self.known: dict[Hashable, Dated] = {}
        """What texts of at most 100 characters say; at most 1,024 of them."""

    @property
    def weight(self) -> float:
        return self.hits * self.template.weight / max(1, self.distance)


class _Edges(NamedTuple):
    """Where the last date stood, and the characters on both sides of its two ends."""

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
        """Whether a date may stand in this line where the last one did."""
        start, end, before, first, last, after = self
        return (
            line[max(start - 1, 0) : start] == before or (line[start : start + 1] == first and not first.isalnum())
        ) and (line[end : end + 1] == after or (line[end - 1 : end] == last and not last.isalnum()))


class DateDetector:
    """Finds dates by the templates of a `datepattern`; remembers which template the log's lines follow.

    The template of the last line is tried first, where it stood then; those at the line's begin go before others; a
    date further right than usual counts only if no other template finds one further left.
    """

    def __init__(self, datepattern: str = "", *, timezone: datetime.tzinfo | None = None) -> None:
        """Take fail2ban's notation (`%%` already made `%`), one pattern a line; empty: the default templates.

        `timezone` is of dates that name none; None: the system's. A pattern that cannot be used is a ValueError.
        """
        self._places = [_Place(template) for template in templates(datepattern)]
        self._timezone = timezone
        self._last: _Place | None = None
        self._direct: tuple[_Place, Seek, int] | None = None
        self._edges = _Edges()
        self._used_total = 0
        self._from_s = self._until_s = math.nan

    @property
    def template(self) -> str:
        """The template used last, as a `datepattern` would write it; empty before any matched."""
        return self._last.template.name if self._last else ""

    @property
    def fixed_template(self) -> Template | None:
        """The template used last, if it can match at a line's first character only."""
        return self._direct[0].template if self._direct else None

    def known_s(self, match: Match[str], now_s: float) -> float | None:
        """Return what a date says that was found before, in seconds since the epoch; None: `find` has to find it.

        `match` is of an expression that begins with `fixed_template`'s, whose groups keep their numbers.
        """
        if self._direct is None or not self._from_s <= now_s < self._until_s:
            return None
        place = self._direct[0]
        key = match[1]
        if (fraction := place.template.fraction) and (dot := match.start(fraction)) >= 0:
            start = match.start(1)
            key = key[: dot - start] + key[match.end(fraction) - start :]
        dated = place.known.get(key)
        if dated is None:
            return None
        place.hits += 1
        place.used_s = now_s
        return dated.time_s

    def find(self, line: str, now_s: float) -> Dated | None:
        """Find the date in a line without its newline; None if no template matches. Never raises.

        `now_s` is wall time, in seconds since the epoch: it says the year, or the day, where the line does not.
        """
        if self._direct is not None:
            place, seek, end = self._direct
            if (match := seek(line, 0, end)) is not None:
                place.hits += 1
                place.used_s = now_s
                return self._dated(place, match, line, now_s)
        winner = self._choose(line)
        if winner is None:
            return None
        place, match = winner
        self._remember(place, match, line, now_s)
        return self._dated(place, match, line, now_s)

    def _dated(self, place: _Place, match: Match[str], line: str, now_s: float) -> Dated:
        """Read a match, or know what its text said before."""
        start, end = match.span(1)
        if start >= end:
            return Dated(max(start, 0), max(end, 0), None)
        template = place.template
        if not template.is_memorable:
            return Dated(start, end, template.read(match, now_s, self._timezone).time_s)
        if not self._from_s <= now_s < self._until_s:
            self._forget(now_s)
        key: Hashable = line[start:end]
        if template.telling:
            key = match.group(*template.telling)
        elif template.fraction and (dot := match.start(template.fraction)) >= 0:
            key = line[start:dot] + line[match.end(template.fraction) : end]
        dated = place.known.get(key)
        if dated is None:
            return self._read(place, key, match, now_s)
        if dated.start == start and dated.end == end:
            return dated
        return Dated(start, end, dated.time_s)

    def _read(self, place: _Place, key: Hashable, match: Match[str], now_s: float) -> Dated:
        """Read a match and keep what its text says."""
        time_s, from_s, until_s = place.template.read(match, now_s, self._timezone)
        self._from_s, self._until_s = max(self._from_s, from_s), min(self._until_s, until_s)
        dated = Dated(*match.span(1), time_s)
        if dated.end - dated.start <= _MAX_TEXT:
            if len(place.known) >= _MAX_KNOWN:
                place.known.clear()
            place.known[key] = dated
        return dated

    def _forget(self, now_s: float) -> None:
        """Forget what texts say: another day, or another guess of the year or the day."""
        self._from_s = now_s - now_s % _DAY_S
        self._until_s = self._from_s + _DAY_S
        for place in self._places:
            place.known.clear()

    def _choose(self, line: str) -> tuple[_Place, Match[str]] | None:
        """Choose the template for a line and its match."""
        best = skipped = None
        if self._last is not None:
            match, is_usual, is_searched = self._match_last(self._last, line)
            if match is not None:
                best = self._last, match
                if is_usual or len(self._places) == 1:
                    return best
            skipped = self._last if is_searched else None
        for number, place in enumerate(self._places):
            if place is skipped or (match := _search(place, line)) is None:
                continue
            if self._is_final(number, match.start()):
                return place, match
            if best is None or match.start() < best[1].start():
                best = place, match
        return best

    def _match_last(self, last: _Place, line: str) -> tuple[Match[str] | None, bool, bool]:
        """Try the last template: its match, whether it is where it was, whether all of the line was searched."""
        if self._direct is not None:
            return None, False, True  # tried before
        if last.template.is_anchored:
            return _search(last, line), True, True
        start, end = self._edges[:2]
        if self._edges.fit(line):
            match, is_searched = last.template.pattern.search(line, start, end), False
        else:
            match, is_searched = _search(last, line), True
        return match, match is not None and match.span() == (start, end), is_searched

    def _is_final(self, number: int, distance: int) -> bool:
        """Whether a match this far into the line is to be taken without a look at the templates that follow."""
        place = self._places[number]
        if number + 1 >= len(self._places) or place.template.is_anchored:
            return True
        if distance == 0 and place.hits and not self._places[number + 1].is_matched:
            return True
        return distance <= place.distance and distance <= self._edges.start

    def _remember(self, place: _Place, match: Match[str], line: str, now_s: float) -> None:
        """Note where the date stood; let its template rise among the others."""
        start, end = match.span()
        place.hits += 1
        place.used_s = now_s
        place.distance = start
        number = self._places.index(place)
        if number == self._used_total:
            self._used_total += 1
        self._edges = _Edges.of(line, start, end)
        if number and place is not self._last:
            self._raise(number)
        self._last = place
        template = place.template
        self._direct = (place, template.seek, template.end) if template.is_anchored and template.is_direct else None

    def _raise(self, number: int) -> None:
        """Move a template forward: before the unused ones or half the way, else by one, if it does better."""
        places = self._places
        place = places[number]

        def outdoes(position: int) -> bool:
            other = places[position]
            return place.weight > other.weight or place.used_s - _UNUSED_S > other.used_s

        position = self._used_total if self._used_total < number else number // 2
        if not outdoes(position):
            position = number - 1
            if not outdoes(position):
                return
        places.insert(position, places.pop(number))
        while self._used_total < len(places) and places[self._used_total].hits:
            self._used_total += 1


def _search(place: _Place, line: str) -> Match[str] | None:
    match = place.template.seek(line, 0, place.template.end)
    if match is not None:
        place.is_matched = True
    return match
