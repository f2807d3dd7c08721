"""Cost of each expression of a filter, measured on a sample of its candidate lines."""

import contextlib
import re
import time
from collections.abc import Sequence

import msgspec

from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.log_filter import LogFilter

_MAX_SAMPLES = 2048
_MAX_SAMPLE_CHARS = 4 << 20
_BUDGET_S = 2.0
"""Limit on the total measuring time: slow lines may have been crafted."""


class ExpressionTally(msgspec.Struct):
    """Results of one failregex."""

    text: str
    is_searchable: bool
    """Whether Hyperscan can find its candidate lines; otherwise every line is one."""
    candidates: int = 0
    """Lines that it may match."""
    hits: int = 0
    """Lines in which it was the first to match."""
    sampled: int = 0
    """Candidates on which it was timed."""
    sampled_s: float = 0.0

    @property
    def line_s(self) -> float:
        """Seconds that it takes for one candidate."""
        return self.sampled_s / self.sampled if self.sampled else 0.0


class Sample:
    """Candidates spread evenly over the log: at most 2,048 lines, or 4 million characters."""

    def __init__(self, expressions: int) -> None:
        """`expressions` is how many the filter has."""
        self._lines: list[tuple[str, Sequence[int], bool]] = []
        self._chars = 0
        self._every = 1
        self._seen = 0
        self._all = 0
        self._candidates = [0] * expressions

    def add(self, line: str, numbers: Sequence[int] | None, *, has_date: bool) -> None:
        """Note a candidate of these expressions (None: of all); `has_date` says whether a date may be in it."""
        if numbers is None:
            self._all += 1
        else:
            for number in numbers:
                self._candidates[number] += 1
        self._seen += 1
        if self._seen % self._every:
            return
        self._lines.append((line, range(len(self._candidates)) if numbers is None else numbers, has_date))
        self._chars += len(line)
        while len(self._lines) > _MAX_SAMPLES or (self._chars > _MAX_SAMPLE_CHARS and len(self._lines) > 1):
            del self._lines[::2]
            self._every *= 2
            self._chars = sum(len(kept) for kept, *_ in self._lines)

    def measure(self, log_filter: LogFilter, tallies: Sequence[ExpressionTally], deadline: Deadline) -> None:
        """Time the expressions on what is left of a line without date and prefix; a line at a time, multi-line or not.

        To be called after the log has been examined: it changes which dates the filter expects.
        """
        for tally, own in zip(tallies, self._candidates, strict=True):
            tally.candidates = own + self._all
        end_s = time.monotonic() + _BUDGET_S
        with deadline.watching():
            for line, numbers, has_date in self._lines:
                text = _content(log_filter, deadline, line, has_date=has_date)
                for number in numbers:
                    _time(text, log_filter.expressions.fail[number].pattern, tallies[number], deadline)
                if time.monotonic() > end_s:
                    return


def _content(log_filter: LogFilter, deadline: Deadline, line: str, *, has_date: bool) -> str | None:
    """Return the text that the expressions are matched against; None where the prefix rules out the line."""
    try:
        if has_date and (dated := deadline.call(log_filter.dates.find, line[:-1], time.time())) is not None:
            line = line[: dated.start] + line[dated.end :]
        if log_filter.expressions.prefix is None:
            return line
        split = deadline.call(log_filter.expressions.prefix.split, line)
    except TooSlow:
        return None
    return split[0] if split else None


def _time(text: str | None, pattern: re.Pattern[str], tally: ExpressionTally, deadline: Deadline) -> None:
    start_s = time.perf_counter()
    if text is not None:
        with contextlib.suppress(TooSlow):
            deadline.call(pattern.search, text)
        tally.sampled_s += time.perf_counter() - start_s
    tally.sampled += 1
