"""fail2ban's durations: `600`, `10m`, `1d 12h`, `1week-6h`, `24*60*60`, `.5y`, `1_000`; -1 means forever."""

import math
import re

from monitor.filters.definition import FilterError

_DAY_S = 86_400
_YEAR_S = 365.25 * _DAY_S
_UNITS_S = {
    ("s", "ss", "se", "sec", "second", "seconds"): 1,
    ("m", "mm", "mi", "min", "minute", "minutes"): 60,
    ("h", "hh", "ho", "hou", "hour", "hours"): 3600,
    ("d", "dd", "da", "day", "days"): _DAY_S,
    ("w", "ww", "we", "wee", "week", "weeks"): 7 * _DAY_S,
    ("mo", "mon", "month", "months"): _YEAR_S / 12,
    ("y", "yy", "ye", "yea", "year", "years"): _YEAR_S,
}
_SECONDS = {name: float(seconds) for names, seconds in _UNITS_S.items() for name in names}
_DIGITS = "[0-9](?:_?[0-9])*"
_TOKEN = re.compile(rf"\s*(?:({_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})|([a-z]+)|([-+*/()]))")
_MAX_CHARS = 100


def parse_duration(text: str) -> float:
    """Return the seconds of a duration, which may be a sum or product; a negative one means forever in fail2ban."""
    try:
        return _evaluate(text.lower().strip())
    except (ValueError, ArithmeticError):
        raise FilterError(f"{text[:80]!r} is not a duration (expected for example 600, 10m or 1d 12h)") from None


def _evaluate(text: str) -> float:
    if len(text) > _MAX_CHARS:
        raise ValueError("too long")
    parser = _DurationParser(_tokens(text))
    value = parser.sum()
    if not parser.is_done() or not math.isfinite(value):
        raise ValueError("no number")
    return value


def _tokens(text: str) -> list[str]:
    """Return numbers and operators: a unit is a factor, and adjacent numbers are added."""
    tokens: list[str] = []
    position = 0
    is_number = False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError("no token")
        position = match.end()
        number, unit, sign = match.groups()
        if number:
            tokens += ["+", number] if is_number else [number]
        elif unit:
            tokens += ["*", repr(_SECONDS[unit])] if unit in _SECONDS else ["?"]
        else:
            tokens.append(sign)
        is_number = not sign
    return tokens


class _DurationParser:
    """Recursive descent over the tokens; the length limit of the text bounds its depth."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, ""]
        self._position = 0

    def is_done(self) -> bool:
        return not self._tokens[self._position]

    def _next(self, *wanted: str) -> str:
        """Take the next token if it is one of `wanted`; empty otherwise."""
        token = self._tokens[self._position]
        if token not in wanted or not token:
            return ""
        self._position += 1
        return token

    def sum(self) -> float:
        """Read terms with + and - between them."""
        value = self._product()
        while sign := self._next("+", "-"):
            term = self._product()
            value += term if sign == "+" else -term
        return value

    def _product(self) -> float:
        value = self._factor()
        while sign := self._next("*", "/"):
            factor = self._factor()
            value = value * factor if sign == "*" else value / factor
        return value

    def _factor(self) -> float:
        if sign := self._next("+", "-"):
            factor = self._factor()
            return factor if sign == "+" else -factor
        if self._next("("):
            value = self.sum()
            if not self._next(")"):
                raise ValueError("an open bracket")
            return value
        number = float(self._tokens[self._position])
        self._position += 1
        return number


def format_duration(duration_s: float) -> str:
    """Write whole seconds as `90s`, `10m`, `1h30m` or `4w`; at least `1s`."""
    left_s = max(1, round(duration_s))
    if left_s % (7 * _DAY_S) == 0:
        return f"{left_s // (7 * _DAY_S)}w"
    parts = []
    for unit, unit_s in (("d", _DAY_S), ("h", 3600), ("m", 60), ("s", 1)):
        count, left_s = divmod(left_s, unit_s)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
