"""All filters at work: blocks of lines in, failures out."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.log_filter import FilterStats, Found, Ignored, LogFilter
from monitor.filters.scanner import BlockScanner, EveryLine, Scanner, can_search, is_available
from monitor.model.addresses import Address, parse_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_MAX_USER = 64
_ODD_S = 60.0
"""A line that was just written, but is dated further away than this, has a wrong clock or time zone."""


class _Group(NamedTuple):
    """Filters that read the same log, and what finds their candidates."""

    filters: tuple[tuple[str, LogFilter], ...]
    scanner: Scanner
    targets: tuple[tuple[int, int], ...]
    """By number of the scanner's expressions: which filter's, and which of its own."""


class LogMatcher:
    """Filters by detector. All that read a log are matched against a block of it in one pass.

    A block's lines are decoded and looked at closely only where they hold text that some expression requires.
    """

    def __init__(
        self,
        definitions: Mapping[str, FilterDefinition],
        *,
        timezones: Mapping[str, datetime.tzinfo] | None = None,
        findtimes_s: Mapping[str, float] | None = None,
        confirm_timeout_s: float = 0.1,
        use_hyperscan: bool = True,
    ) -> None:
        """Compile; a filter that is wrong goes into `faults`, the others work.

        `timezones` are of dates that name none (default: the system's), `findtimes_s` how far back lines count that
        were written before we read (default: 600), `confirm_timeout_s` what one line may cost one filter. Without
        Hyperscan the same failures are found, slower.
        """
        self.faults: dict[str, str] = {}
        """Why the filters of these detectors cannot be used."""
        self._filters: dict[str, LogFilter] = {}
        for detector, definition in definitions.items():
            try:
                self._filters[detector] = LogFilter(definition, (timezones or {}).get(detector))
            except FilterError as error:
                self.faults[detector] = str(error)
        self.stats: dict[str, FilterStats] = {name: log_filter.stats for name, log_filter in self._filters.items()}
        self._findtimes_s = findtimes_s or {}
        self._deadline = Deadline(confirm_timeout_s)
        self._uses_hyperscan = use_hyperscan and is_available()
        self._groups: dict[tuple[str, ...], list[_Group]] = {}
        self._unsearchable = {name for name, log_filter in self._filters.items() if not self._is_searchable(log_filter)}

    def scan(self, block: LogBlock) -> list[AuthFailure]:
        """Return the failures in a block, in the order of its lines; never raises for what the lines hold."""
        groups = self._groups.get(block.detectors)
        if groups is None:
            groups = self._groups[block.detectors] = self._make_groups(block.detectors)
        events: list[AuthFailure] = []
        with self._deadline.watching():
            for group in groups:
                for line, time_s, numbers in _lines(group.scanner, block):
                    for (detector, log_filter), wanted in _shared_out(group, numbers):
                        event = self._examine(detector, log_filter, block, line, time_s, wanted)
                        if event is not None:
                            events.append(event)
        return events

    @property
    def unsearchable(self) -> frozenset[str]:
        """The detectors whose filters must look at every line of their logs: slow."""
        return frozenset(self._unsearchable)

    def _is_searchable(self, log_filter: LogFilter) -> bool:
        return self._uses_hyperscan and all(can_search(fail.fragments) for fail in log_filter.expressions.fail)

    def _make_groups(self, detectors: Sequence[str]) -> list[_Group]:
        """Compile what reads one log: one database for all filters but those that must look at every line."""
        named = [(name, self._filters[name]) for name in detectors if name in self._filters]
        searched = tuple(item for item in named if item[0] not in self._unsearchable)
        fragments, targets = [], []
        for index, (_, log_filter) in enumerate(searched):
            for number, expression in enumerate(log_filter.expressions.fail):
                fragments.append(expression.fragments)
                targets.append((index, number))
        groups = [_Group(searched, BlockScanner(fragments), tuple(targets))] if searched else []
        if others := tuple(item for item in named if item[0] in self._unsearchable):
            groups.append(_Group(others, EveryLine(), ()))
        return groups

    def _examine(
        self,
        detector: str,
        log_filter: LogFilter,
        block: LogBlock,
        line: str,
        time_s: float | None,
        numbers: Sequence[int],
    ) -> AuthFailure | None:
        stats = log_filter.stats
        stats.candidates += 1
        try:
            outcome = self._deadline.call(log_filter.examine, line, numbers, block.read_s, time_s)
        except TooSlow:
            stats.timeouts += 1
            return None
        if isinstance(outcome, Ignored):
            stats.ignored += 1
        if not isinstance(outcome, Found):
            return None
        address = _address(outcome)
        if address is None:
            stats.unusable += 1
            return None
        when_s = self._when_s(detector, stats, block, outcome.time_s)
        if when_s is None:
            return None
        stats.failures += 1
        is_proof = block.is_trusted and not log_filter.definition.is_spoofable
        strength = Strength.PROVEN if is_proof else Strength.SPOOFABLE
        length = int(outcome.cidr) if outcome.cidr and len(outcome.cidr) < 4 else None
        return AuthFailure(when_s, detector, address, strength, block.log, outcome.user[:_MAX_USER], length)

    def _when_s(self, detector: str, stats: FilterStats, block: LogBlock, time_s: float | None) -> float | None:
        """Return the wall time of a failure; None if it is too old to count.

        A line that was written while we read happened now, whatever its date says. One from before counts by its date:
        without one nobody knows.
        """
        now_s = block.read_s
        if block.is_live:
            if time_s is None:
                return now_s
            if abs(time_s - now_s) <= _ODD_S:
                return min(time_s, now_s)
            stats.misdated += 1
            return now_s
        if time_s is None or time_s < now_s - self._findtimes_s.get(detector, 600.0):
            stats.outdated += 1
            return None
        if time_s > now_s + _ODD_S:
            stats.misdated += 1
        return min(time_s, now_s)


def _address(found: Found) -> Address | None:
    """Return whose failure it is; None for names, which are never resolved, and for text that is no address."""
    if found.is_name:
        return None
    try:
        return parse_address(found.host)
    except ValueError:
        return None


def _lines(scanner: Scanner, block: LogBlock) -> Iterator[tuple[str, float | None, Sequence[int] | None]]:
    """Yield the lines that are worth a closer look: text, time where the source knows it, numbers of expressions."""
    data, times_s = block.data, block.times_s
    seen = line_number = 0
    for start, end, numbers in scanner.candidates(data):
        time_s = None
        if times_s:
            line_number += data.count(b"\n", seen, start)
            seen = start
            time_s = times_s[line_number]
        yield data[start : end + 1].decode(errors="replace"), time_s, numbers


def _shared_out(group: _Group, numbers: Sequence[int] | None) -> Iterator[tuple[tuple[str, LogFilter], Sequence[int]]]:
    """Yield each filter that should look at a line, with the numbers of its expressions that may match."""
    if numbers is None:
        for name, log_filter in group.filters:
            yield (name, log_filter), log_filter.everything
        return
    if len(group.filters) == 1:
        yield group.filters[0], numbers
        return
    wanted: dict[int, list[int]] = {}
    for number in numbers:
        index, own = group.targets[number]
        wanted.setdefault(index, []).append(own)
    for index, own_numbers in wanted.items():
        yield group.filters[index], own_numbers
