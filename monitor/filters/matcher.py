"""Applies all filters to blocks of lines and returns failures."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.filters.breaker import Breaker
from monitor.filters.compile_time import CompileTime
from monitor.filters.containers import Containers
from monitor.filters.databases import Databases
from monitor.filters.deadline import Deadline
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.log_filter import FilterStats, LogFilter
from monitor.filters.scan import ActiveFilter, Scan
from monitor.filters.scanner import Candidate, EveryLine, Scanner, can_search, is_available, shared_scanner
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_FINDTIME_S = 600.0


class _Group(NamedTuple):
    """Filters that read the same log, and the scanner that finds their candidates."""

    filters: tuple[ActiveFilter, ...]
    scanner: Scanner
    targets: tuple[tuple[int, int], ...]
    """For each expression of the scanner: the index of its filter, and its number in that filter."""


class LogMatcher:
    """The filters of all detectors. Those that read the same log are matched against a block of it in one pass.

    Only lines that contain the text that some expression requires are decoded and examined.
    """

    def __init__(
        self,
        definitions: Mapping[str, FilterDefinition],
        *,
        timezones: Mapping[str, datetime.tzinfo] | None = None,
        findtimes_s: Mapping[str, float] | None = None,
        confirm_timeout_s: float = 0.1,
        use_hyperscan: bool = True,
        use_native: bool = True,
        databases: Databases | None = None,
    ) -> None:
        """Compile the filters; an invalid one goes into `faults`, the others work.

        `timezones` apply to dates without a zone (default: the system's). `findtimes_s` is the maximum age of lines
        that were written before the start (default: 600). `confirm_timeout_s` is the CPU time that one line may cost
        one filter. Without Hyperscan or the native extension the result is the same, but slower. `databases` keeps what
        is compiled for later.
        """
        self.faults: dict[str, str] = {}
        """By detector: why its filter cannot be used."""
        self.filters: dict[str, LogFilter] = {}
        """By detector."""
        time_limit = CompileTime()
        with time_limit.watching():
            for detector, definition in definitions.items():
                try:
                    self.filters[detector] = time_limit.compile(definition, (timezones or {}).get(detector))
                    if not use_native:
                        self.filters[detector].use_python()
                except FilterError as error:
                    self.faults[detector] = str(error)
        self.stats: dict[str, FilterStats] = {name: log_filter.stats for name, log_filter in self.filters.items()}
        self.breakers = {name: Breaker() for name in self.filters}
        findtimes_s = findtimes_s or {}
        self._active = {
            name: ActiveFilter(name, log_filter, findtimes_s.get(name, _FINDTIME_S), self.breakers[name])
            for name, log_filter in self.filters.items()
        }
        self._containers = Containers()
        self._databases = databases
        self._deadline = Deadline(confirm_timeout_s)
        self._uses_hyperscan = use_hyperscan and is_available()
        self._groups: dict[tuple[str, ...], list[_Group]] = {}
        self._unsearchable = {name for name, log_filter in self.filters.items() if not self._is_searchable(log_filter)}

    def scan(self, block: LogBlock) -> list[AuthFailure]:
        """Return the failures in a block; see `Scan.run`."""
        return self.begin(block).run()

    def begin(self, block: LogBlock) -> Scan:
        """Find the candidates; the scan confirms them. Scans must run in the order in which they were started."""
        block = self._containers.open(block)
        groups = self._groups.get(block.detectors)
        if groups is None:
            groups = self._groups[block.detectors] = self._make_groups(block.detectors)
        work = (share for group in groups for share in _shared_out(group, group.scanner.search(block.data)))
        return Scan(block, work, self._deadline, lambda: all(group.scanner.is_ready for group in groups))

    @property
    def doubts(self) -> dict[str, str]:
        """Why the last failure of each detector that proves nothing does so; empty where all prove."""
        return {name: log_filter.doubt for name, log_filter in self.filters.items()}

    @property
    def unsearchable(self) -> frozenset[str]:
        """The detectors whose filters must examine every line of their logs, which is slow."""
        return frozenset(self._unsearchable)

    def _is_searchable(self, log_filter: LogFilter) -> bool:
        fail = log_filter.expressions.fail
        return self._uses_hyperscan and all(can_search(one.fragments, self._databases) for one in fail)

    def _make_groups(self, detectors: Sequence[str]) -> list[_Group]:
        """Group the filters of one log: one database for all except those that must examine every line."""
        filters = [self._active[name] for name in detectors if name in self._active]
        searched = tuple(active for active in filters if active.detector not in self._unsearchable)
        fragments, targets = [], []
        for index, active in enumerate(searched):
            for number, expression in enumerate(active.log_filter.expressions.fail):
                fragments.append(expression.fragments)
                targets.append((index, number))
        groups = (
            [_Group(searched, shared_scanner(tuple(fragments), self._databases), tuple(targets))] if searched else []
        )
        if others := tuple(active for active in filters if active.detector in self._unsearchable):
            groups.append(_Group(others, EveryLine(), ()))
        return groups


def _shared_out(group: _Group, candidates: Sequence[Candidate]) -> list[tuple[ActiveFilter, Sequence[Candidate]]]:
    """Return each filter that has candidates, with their lines and the numbers of its expressions that may match."""
    if len(group.filters) == 1 or (candidates and candidates[0][2] is None):
        return [(active, candidates) for active in group.filters]
    wanted: dict[int, list[Candidate]] = {}
    for start, end, numbers in candidates:
        own: dict[int, list[int]] = {}
        for number in numbers or ():
            index, own_number = group.targets[number]
            own.setdefault(index, []).append(own_number)
        for index, own_numbers in own.items():
            wanted.setdefault(index, []).append((start, end, own_numbers))
    return [(group.filters[index], each) for index, each in wanted.items()]
