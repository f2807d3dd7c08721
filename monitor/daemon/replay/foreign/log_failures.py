"""Failures in log text, by the filters of the configuration: the same matcher as the daemon's, on lines of any age."""

import math
from collections.abc import Sequence

from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.daemon.sources.log_filters import LogFilters
from monitor.filters.matcher import LogMatcher
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.model.writers import Writer

_REASONS = {
    "outdated": "failures without a readable date",
    "unusable": "failures without an address",
    "timeouts": "lines that took a filter too long",
    "skipped": "lines that an expression was not tried on, since it takes too long",
    "misdated": "failures dated after the file was written",
}
"""What of FilterStats keeps a line from counting, or from counting as it says."""


class Failures:
    """Finds failures; one for all logs, as in the daemon."""

    def __init__(self, filters: LogFilters, confirm_timeout_s: float) -> None:
        """Compile nothing yet: most files need no filter."""
        self.filters = filters
        self._confirm_timeout_s = confirm_timeout_s
        self._matcher: LogMatcher | None = None

    def find(
        self,
        log: str,
        detectors: tuple[str, ...],
        data: bytes,
        report: FileReport,
        *,
        written_s: float,
        times_s: Sequence[float] = (),
        writer: Writer | None = None,
        is_cut: bool = False,
    ) -> list[AuthFailure]:
        """Return the failures in whole lines; `written_s` is wall time at which no line was younger."""
        matcher = self._matcher = self._matcher or self._make()
        stats = [matcher.stats[name] for name in detectors if name in matcher.stats]
        before = {field: sum(getattr(one, field) for one in stats) for field in _REASONS}
        block = LogBlock(log, detectors, data, written_s, times_s=times_s, is_live=False, writer=writer, is_cut=is_cut)
        found = matcher.scan(block)
        for field, reason in _REASONS.items():
            if more := sum(getattr(one, field) for one in stats) - before[field]:
                report.leave_out(reason, more)
        for name in detectors:
            if fault := matcher.faults.get(name):
                report.note(f"detector {name} finds nothing: {fault}")
        return found

    def _make(self) -> LogMatcher:
        filters = self.filters
        return LogMatcher(
            filters.definitions,
            timezones=filters.timezones,
            findtimes_s=dict.fromkeys(filters.definitions, math.inf),  # the age is no reason to leave a line out here
            confirm_timeout_s=self._confirm_timeout_s,
        )
