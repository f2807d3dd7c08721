"""A filter tested on a log: what the daemon would find in each line, and the cost."""

import datetime
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping

import msgspec

from monitor.cli.filter_remains import Remains, remains
from monitor.cli.filter_timing import ExpressionTally, Sample
from monitor.cli.log_lines import LogLines
from monitor.filters.containers import Containers
from monitor.filters.dates import DateDetector
from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.definition import FilterDefinition
from monitor.filters.log_filter import Found, Ignored, Lack, LogFilter, Missed, Outcome
from monitor.filters.scanner import BlockScanner, EveryLine, Scanner, can_search, is_available
from monitor.model.addresses import format_address, parse_address
from monitor.model.logs import LogBlock

_MAX_ADDRESSES = 100_000
_MAX_SHOWN_CHARS = 1000
_DATED_LINES = 1000
_ODD_S = 60.0


class Dates(msgspec.Struct):
    """Dates found in the first lines of the log."""

    lines: int = 0
    """Lines examined."""
    undated: int = 0
    """Lines in which no date was found."""
    unreadable: int = 0
    """Lines with a date that does not exist."""
    templates: Counter[str] = msgspec.field(default_factory=Counter)
    """Lines by the notation of their date, as a `datepattern`."""


class Tally(msgspec.Struct):
    """The result. `matched + ignored + missed + timeouts` are all lines."""

    expressions: list[ExpressionTally]
    matched: int = 0
    """Lines that a failregex matched."""
    ignored: int = 0
    """Lines that an ignoreregex matched."""
    timeouts: int = 0
    """Lines that took too long."""
    candidates: int = 0
    """Lines on which expressions were run."""
    failures: int = 0
    """Matched lines with an address."""
    helping: int = 0
    """Matched lines that are no failures but provide context for others."""
    waiting: int = 0
    """Matched lines that are failures whose address another line of the connection must give."""
    lacking: int = 0
    """Matched lines without an address: the group is empty, or its text is only a part of a longer word."""
    names: int = 0
    """Matched lines with a host name instead of an address; names are never resolved."""
    others: int = 0
    """Matched lines with something else instead of an address."""
    undated: int = 0
    """Failures without a known time."""
    future: int = 0
    """Failures dated more than a minute from now."""
    addresses: Counter[str] = msgspec.field(default_factory=Counter)
    """Failures by address: the first 100,000 addresses."""
    unlisted: int = 0
    """Failures of addresses beyond those."""
    missed_lines: list[Remains] = []
    """The first lines that gave no failure, up to the requested number, each cut at 1,000 characters."""
    examine_s: float = 0.0
    """Time to search and examine all lines, without reading them."""


class Trial:
    """Matches lines against one filter as the daemon does; memory does not grow with the log."""

    def __init__(
        self,
        definition: FilterDefinition,
        *,
        timezone: datetime.tzinfo | None = None,
        confirm_timeout_s: float = 0.1,
        missed_lines: int = 0,
    ) -> None:
        """Compile; raises FilterError with a message. `missed_lines`: how many of them to keep."""
        self._filter = LogFilter(definition, timezone)
        self._head_dates = DateDetector(definition.datepattern, timezone=timezone)
        self._deadline = Deadline(confirm_timeout_s)
        self._containers = Containers()
        self._wanted = missed_lines
        self.has_hyperscan = is_available()
        fail = self._filter.expressions.fail
        self.tally = Tally([ExpressionTally(one.text, can_search(one.fragments)) for one in fail])
        self.dates = Dates()
        is_searchable = self.has_hyperscan and all(one.is_searchable for one in self.tally.expressions)
        self._scanner: Scanner = BlockScanner([one.fragments for one in fail]) if is_searchable else EveryLine()
        self.is_searchable = is_searchable
        """Whether Hyperscan selects the candidate lines; otherwise every line is one, which is slow."""
        self._sample = Sample(len(fail))

    def run(self, log: LogLines, progress: Callable[[], None] = lambda: None) -> None:
        """Examine the whole log, then time the expressions; calls `progress` after each block.

        UnreadableLogError if the log cannot be read.
        """
        for data in log.blocks():
            start_s = time.perf_counter()
            if not log.is_journal:
                data = self._containers.open(LogBlock("", (), data, time.time())).data  # noqa: PLW2901
            with self._deadline.watching():
                self._examine(data, is_timed=log.is_journal)
            self.tally.examine_s += time.perf_counter() - start_s
            progress()
        self._sample.measure(self._filter, self.tally.expressions, self._deadline)

    def _examine(self, data: bytes, *, is_timed: bool) -> None:
        now_s = time.time()
        if not is_timed and self.dates.lines < _DATED_LINES:
            self._look_for_dates(data, now_s)
        tally, everything = self.tally, self._filter.everything
        taken: set[int] = set()
        lacking: dict[int, int | None] = {}
        for start, end, numbers in self._scanner.search(data):
            line, time_s = data[start:end].decode(errors="replace"), None
            if is_timed:
                line, time_s = _split_time(line)
            wanted = everything if numbers is None else numbers
            tally.candidates += 1
            self._sample.add(line, numbers, has_date=not is_timed)
            try:
                outcome = self._deadline.call(self._filter.examine, line, wanted, now_s, time_s)
            except TooSlow:
                tally.timeouts += 1
                taken.add(start)
                continue
            is_matched = self._count(outcome, now_s)
            if self._wanted and isinstance(outcome, Missed) and outcome.lack is Lack.SOURCE:
                lacking[start] = outcome.expression
            elif self._wanted and is_matched:
                taken.add(start)
        if len(tally.missed_lines) < self._wanted:
            self._keep_missed(data, taken, lacking, is_timed=is_timed)

    def _count(self, outcome: Outcome, now_s: float) -> bool:
        """Count the outcome of a line; return whether anything matched."""
        tally = self.tally
        if isinstance(outcome, Ignored):
            tally.ignored += 1
            return True
        if outcome.expression is None:
            return False
        tally.matched += 1
        tally.expressions[outcome.expression].hits += 1
        if not isinstance(outcome, Found):
            tally.helping += outcome.lack is Lack.FAILURE
            tally.waiting += outcome.lack is Lack.SOURCE_SO_FAR
            tally.lacking += outcome.lack is Lack.SOURCE
            return True
        if outcome.time_s is None:
            tally.undated += 1
        elif outcome.time_s > now_s + _ODD_S:
            tally.future += 1
        self._blame(outcome)
        return True

    def _blame(self, found: Found) -> None:
        """Count a failure for its address."""
        tally = self.tally
        if found.is_name:
            tally.names += 1
            return
        try:
            address = format_address(parse_address(found.host))
        except ValueError:
            tally.others += 1
            return
        tally.failures += 1
        if found.cidr:
            address = f"{address}/{found.cidr[:3]}"
        if address in tally.addresses or len(tally.addresses) < _MAX_ADDRESSES:
            tally.addresses[address] += 1
        else:
            tally.unlisted += 1

    def _keep_missed(
        self, data: bytes, taken: Container[int], lacking: Mapping[int, int | None], *, is_timed: bool
    ) -> None:
        now_s = time.time()
        for start, end in _spans(data):
            if start in taken:
                continue
            line = data[start : min(end - 1, start + 4 * _MAX_SHOWN_CHARS)].decode(errors="replace")
            line, dates = (_split_time(line)[0], None) if is_timed else (line, self._head_dates)
            shown = remains(self._filter, dates, self._deadline, line[:_MAX_SHOWN_CHARS], now_s, lacking.get(start))
            self.tally.missed_lines.append(shown)
            if len(self.tally.missed_lines) >= self._wanted:
                return

    def _look_for_dates(self, data: bytes, now_s: float) -> None:
        dates, detector = self.dates, self._head_dates
        for start, end in _spans(data):
            if dates.lines >= _DATED_LINES:
                return
            dates.lines += 1
            try:
                dated = self._deadline.call(detector.find, data[start : end - 1].decode(errors="replace"), now_s)
            except TooSlow:
                dated = None
            if dated is None:
                dates.undated += 1
                continue
            dates.templates[detector.template] += 1
            dates.unreadable += dated.time_s is None and dated.end > dated.start


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each line, newline included."""
    start = 0
    while end := data.find(b"\n", start) + 1:
        yield start, end
        start = end


def _split_time(line: str) -> tuple[str, float]:
    """Split a line of the journal into its text and its time, which is now where it cannot be read."""
    word, _, text = line.partition(" ")
    try:
        return text, float(word)
    except ValueError:
        return text, time.time()
