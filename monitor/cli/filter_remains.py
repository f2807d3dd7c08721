"""What is left of a line that a filter missed: after its date and its prefix were cut, as the expressions see it."""

import msgspec

from monitor.filters.dates import DateDetector
from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.log_filter import LogFilter


class Remains(msgspec.Struct, frozen=True):
    """A line, and what its parts are to the filter."""

    line: str
    date: str = ""
    """The date that was cut; empty if none was found."""
    left: str = ""
    """What the failregex are matched against."""
    reason: str = ""
    """At which step the line was lost."""


def remains(
    log_filter: LogFilter,
    dates: DateDetector | None,
    deadline: Deadline,
    line: str,
    now_s: float,
    expression: int | None,
) -> Remains:
    """Return the parts of a line without its newline; `dates` is None if its source knows the time.

    `expression` is the number of one that matched the line without giving an address.
    """
    if expression is not None:
        return Remains(line, reason=f"expression {expression + 1} matches, but gives no address")
    try:
        date, text = _without_date(dates, deadline, line, now_s)
        prefix = log_filter.expressions.prefix
        split = (text, {}) if prefix is None else deadline.call(prefix.split, f"{text}\n")
    except TooSlow:
        return Remains(line, reason="takes too long")
    if split is None:
        return Remains(line, date, text, "prefregex does not match")
    return Remains(line, date, split[0].removesuffix("\n"), "no failregex matches")


def _without_date(dates: DateDetector | None, deadline: Deadline, line: str, now_s: float) -> tuple[str, str]:
    """Return the date and the line without it."""
    dated = None if dates is None else deadline.call(dates.find, line, now_s)
    if dated is None:
        return "", line
    return line[dated.start : dated.end], line[: dated.start] + line[dated.end :]
