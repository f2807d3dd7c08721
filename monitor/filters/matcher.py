"""All filters at work: blocks of lines in, failures out."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.filters.deadline import Deadline
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.log_filter import FilterStats, LogFilter
from monitor.filters.scan import Reader, Scan
from monitor.filters.scanner import BlockScanner, Candidate, EveryLine, Scanner, can_search, is_available
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_FINDTIME_S = 600.0


class _Group(NamedTuple):
    """Filters that read the same log, and what finds their candidates."""

    readers: tuple[Reader, ...]
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
        findtimes_s = findtimes_s or {}
        self._readers = {
            name: Reader(name, log_filter, findtimes_s.get(name, _FINDTIME_S))
            for name, log_filter in self._filters.items()
        }
        self._deadline = Deadline(confirm_timeout_s)
        self._uses_hyperscan = use_hyperscan and is_available()
        self._groups: dict[tuple[str, ...], list[_Group]] = {}
        self._unsearchable = {name for name, log_filter in self._filters.items() if not self._is_searchable(log_filter)}

    def scan(self, block: LogBlock) -> list[AuthFailure]:
        """Return the failures in a block; see Scan.run."""
        return self.begin(block).run()

    def begin(self, block: LogBlock) -> Scan:
        """Look for candidates; the scan confirms them. Scans must run in the order in which they were begun."""
        groups = self._groups.get(block.detectors)
        if groups is None:
            groups = self._groups[block.detectors] = self._make_groups(block.detectors)
        work = (share for group in groups for share in _shared_out(group, group.scanner.candidates(block.data)))
        return Scan(block, work, self._deadline)

    @property
    def unsearchable(self) -> frozenset[str]:
        """The detectors whose filters must look at every line of their logs: slow."""
        return frozenset(self._unsearchable)

    def _is_searchable(self, log_filter: LogFilter) -> bool:
        return self._uses_hyperscan and all(can_search(fail.fragments) for fail in log_filter.expressions.fail)

    def _make_groups(self, detectors: Sequence[str]) -> list[_Group]:
        """Compile what reads one log: one database for all filters but those that must look at every line."""
        readers = [self._readers[name] for name in detectors if name in self._readers]
        searched = tuple(reader for reader in readers if reader.detector not in self._unsearchable)
        fragments, targets = [], []
        for index, reader in enumerate(searched):
            for number, expression in enumerate(reader.log_filter.expressions.fail):
                fragments.append(expression.fragments)
                targets.append((index, number))
        groups = [_Group(searched, BlockScanner(fragments), tuple(targets))] if searched else []
        if others := tuple(reader for reader in readers if reader.detector in self._unsearchable):
            groups.append(_Group(others, EveryLine(), ()))
        return groups


def _shared_out(group: _Group, candidates: Sequence[Candidate]) -> list[tuple[Reader, Sequence[Candidate]]]:
    """Return each filter that should look at any line, with those lines and its own expressions that may match."""
    if len(group.readers) == 1 or (candidates and candidates[0][2] is None):
        return [(reader, candidates) for reader in group.readers]
    wanted: dict[int, list[Candidate]] = {}
    for start, end, numbers in candidates:
        own: dict[int, list[int]] = {}
        for number in numbers or ():
            index, own_number = group.targets[number]
            own.setdefault(index, []).append(own_number)
        for index, own_numbers in own.items():
            wanted.setdefault(index, []).append((start, end, own_numbers))
    return [(group.readers[index], each) for index, each in wanted.items()]
