"""The fields of a date: the expression of each (strptime(3) and fail2ban's additions), and the time that they give.

Names of months and days are English whatever the locale. Differences from fail2ban: `%f` also accepts nanoseconds
(containers write them, and the zone after them would be missed otherwise), a leap second counts as the second before
it, and ISO weeks are supported.
"""

import datetime
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from monitor.filters.date_zones import epoch_s, fixed_zone, wall_time

_ABBREVIATION = "[A-Z](?:[A-Z]{2,4})?"
_OFFSET = r"[+-][01]\d(?::?\d{2})?"

FIELDS = {
    "%": "%",
    "a": "(?P<a>mon|t(?:ue|hu)|wed|fri|s(?:at|un))",
    "A": "(?P<A>monday|t(?:ues|hurs)day|wednesday|friday|s(?:atur|un)day)",
    "b": "(?P<b>j(?:an|u[nl])|feb|ma[ry]|a(?:pr|ug)|sep|oct|nov|dec)",
    "B": "(?P<B>january|february|march|april|may|june|july|august|september|october|november|december)",
    "d": r"(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])",
    "f": "(?P<f>[0-9]{1,9})",
    "G": r"(?P<G>\d{4})",
    "H": r"(?P<H>[0-1]?\d|2[0-3])",
    "I": "(?P<I>1[0-2]|0[1-9]|[1-9])",
    "j": r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])",
    "k": r" ?(?P<H>[0-2]?\d)",
    "l": r" ?(?P<I>1?\d)",
    "m": "(?P<m>0?[1-9]|1[0-2])",
    "M": r"(?P<M>[0-5]?\d)",
    "p": "(?P<p>[ap]m)",
    "S": r"(?P<S>[0-5]?\d|6[0-1])",
    "u": "(?P<u>[1-7])",
    "U": r"(?P<U>5[0-3]|[0-4]\d|\d)",
    "V": r"(?P<V>5[0-3]|0[1-9]|[1-4]\d|\d)",
    "w": "(?P<w>[0-6])",
    "W": r"(?P<W>5[0-3]|[0-4]\d|\d)",
    "y": r"(?P<y>\d{2})",
    "Y": r"(?P<Y>\d{4})",
    "z": f"(?P<z>Z|UTC|GMT|{_OFFSET})",
    "Z": "(?P<Z>Z|[A-Z]{3,5})",
    "Exd": r"(?P<d>[1-2]\d|0[1-9]|3[0-1])",
    "ExH": r"(?P<H>[0-1]\d|2[0-3])",
    "Exk": r" ?(?P<H>[0-1]?\d|2[0-3])",
    "Exl": r" ?(?P<I>1[0-2]|\d)",
    "Exm": "(?P<m>0[1-9]|1[0-2])",
    "ExM": r"(?P<M>[0-5]\d)",
    "ExS": r"(?P<S>[0-5]\d|6[0-1])",
    "Exy": r"(?P<y>\d{2})",
    "ExY": r"(?P<Y>20\d{2})",
    "Exz": f"(?P<z>(?:{_ABBREVIATION})?{_OFFSET}|{_ABBREVIATION})",
    "ExZ": f"(?P<Z>{_ABBREVIATION})",
}
"""The expression of each field; `read_fields` knows the fields by the names of the groups."""

FIELDS["x"] = "{m}/{d}/{y}".format_map(FIELDS)
FIELDS["X"] = "{H}:{M}:{S}".format_map(FIELDS)
FIELDS["c"] = r"{a}\s+{b}\s+{d}\s+{X}\s+{Y}".format_map(FIELDS)

ALPHABETIC = frozenset("aAbBpc")
"""Fields that make the whole pattern ignore case, as in fail2ban."""

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_DAY_S = 86400.0


class Reading(NamedTuple):
    """The time that a date gives, and the range of current times for which that holds: it may lack a year or a day."""

    time_s: float | None
    """Seconds since the epoch; None if there is no such date."""
    from_s: float = -math.inf
    until_s: float = math.inf
    is_zoned: bool = False
    """Whether the date itself says in which zone it is, so that the zone of the log does not matter."""


UNREADABLE = Reading(None)


def read_fields(match: re.Match[str], now_s: float, zone: datetime.tzinfo | None) -> Reading:
    """Read the groups named after fields. Fractions of seconds are ignored, and so is a weekday next to a date.

    A date without a year is in the latest year that puts it at most a day ahead of `now_s`; around New Year, when
    clocks differ, that may be next year. A time without a date is today, or yesterday if today's would be in the
    future. A zone in the line takes precedence over `zone` (None: the system's). UNREADABLE if the groups name no time.
    """
    given = {name: text for name, text in match.groupdict().items() if text}
    try:
        if zone_name := given.get("z") or given.get("Z"):
            return _read(given, now_s, fixed_zone(zone_name))._replace(is_zoned=True)
        return _read(given, now_s, zone)
    except (ValueError, OverflowError, KeyError, OSError):
        return UNREADABLE


def _read(given: Mapping[str, str], now_s: float, zone: datetime.tzinfo | None) -> Reading:
    clock = _clock(given)
    year = _year(given)
    is_dated = any(name in given for name in "dmbBjUWV")
    if is_dated and year is not None:
        return Reading(epoch_s(datetime.datetime.combine(_date(given, year), clock), zone))
    today = wall_time(now_s, zone).date()
    if is_dated:
        guess = _guess_year(given, clock, today.year, now_s, zone)
    else:
        guess = _guess_day(today if year is None else today.replace(year=year), clock, now_s, zone)
    midnight = datetime.datetime.combine(today, datetime.time())
    tomorrow_s = epoch_s(midnight + datetime.timedelta(days=1), zone)
    return Reading(guess.time_s, max(guess.from_s, epoch_s(midnight, zone)), min(guess.until_s, tomorrow_s))


def _guess_year(
    given: Mapping[str, str], clock: datetime.time, year: int, now_s: float, zone: datetime.tzinfo | None
) -> Reading:
    """Use the latest year that puts the date at most a day ahead; ValueError if no year has it (29 February)."""
    until_s = math.inf
    for candidate in (year + 1, year, year - 1):
        try:
            time_s = epoch_s(datetime.datetime.combine(_date(given, candidate), clock), zone)
        except ValueError:
            continue
        if time_s - _DAY_S <= now_s:
            return Reading(time_s, time_s - _DAY_S, until_s)
        until_s = time_s - _DAY_S
    raise ValueError("no such day")


def _guess_day(today: datetime.date, clock: datetime.time, now_s: float, zone: datetime.tzinfo | None) -> Reading:
    """Use today, or yesterday if today's time would be in the future."""
    time_s = epoch_s(datetime.datetime.combine(today, clock), zone)
    if time_s <= now_s:
        return Reading(time_s, from_s=time_s)
    yesterday = today - datetime.timedelta(days=1)
    return Reading(epoch_s(datetime.datetime.combine(yesterday, clock), zone), until_s=time_s)


def _clock(given: Mapping[str, str]) -> datetime.time:
    hour = int(given.get("H", 0))
    if "I" in given:
        hour = int(given["I"])
        is_afternoon = given.get("p", "").lower() == "pm"
        if hour == 12 or is_afternoon:
            hour = hour % 12 + 12 * is_afternoon
    return datetime.time(hour, int(given.get("M", 0)), min(int(given.get("S", 0)), 59))


def _year(given: Mapping[str, str]) -> int | None:
    if "y" in given:
        year = int(given["y"])
        return year + 2000 if year <= 2000 else year
    text = given.get("Y") or given.get("G")
    return int(text) if text else None


def _date(given: Mapping[str, str], year: int) -> datetime.date:
    """Return the day in this year; ValueError or KeyError if it does not exist or a field is missing."""
    month_name = given.get("b") or given.get("B")
    month = _MONTHS[month_name[:3].lower()] if month_name else int(given.get("m", 0))
    if month and "d" in given:
        return datetime.date(year, month, int(given["d"]))
    if "j" in given:
        return datetime.date(year, 1, 1) + datetime.timedelta(days=int(given["j"]) - 1)
    weekday = _weekday(given)
    if "V" in given:
        return datetime.date.fromisocalendar(year, int(given["V"]), weekday + 1)
    first_weekday = 6 if "U" in given else 0
    new_year = datetime.date(year, 1, 1)
    first = new_year + datetime.timedelta(days=(first_weekday - new_year.weekday()) % 7)
    week = int(given["U"] if "U" in given else given["W"])
    return first + datetime.timedelta(weeks=week - 1, days=(weekday - first_weekday) % 7)


def _weekday(given: Mapping[str, str]) -> int:
    """Return the day of the week, Monday is 0; KeyError if no field gives it."""
    if name := given.get("a") or given.get("A"):
        return _WEEKDAYS[name[:3].lower()]
    return int(given["u"]) - 1 if "u" in given else (int(given["w"]) - 1) % 7
