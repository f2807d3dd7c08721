"""Bounds the time to compile filters: an expression can be short and take minutes, and nothing is guarded meanwhile."""

import datetime
import time
from contextlib import AbstractContextManager

from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.log_filter import LogFilter

ONE_S = 2.0
"""CPU time for one filter; the largest of fail2ban's takes 0.1 s."""
ALL_S = 15.0
"""CPU time for all filters: systemd restarts a daemon that does not answer for 30 s."""


class CompileTime:
    """Compiles filters one after another, within a time for each and for all; in the main thread only."""

    def __init__(self) -> None:
        """Start the time for all."""
        self._deadline = Deadline(ONE_S)
        self._until_s = time.process_time() + ALL_S

    def watching(self) -> AbstractContextManager[None]:
        """Bound every `compile` inside this block."""
        return self._deadline.watching()

    def compile(self, definition: FilterDefinition, timezone: datetime.tzinfo | None) -> LogFilter:
        """Compile one filter; FilterError on a fault, or if the time is over."""
        where = f"filter {definition.name} ({definition.origin or 'built in'})"
        if time.process_time() > self._until_s:
            raise FilterError(
                f"{where}: not compiled, since all filters together take longer than {ALL_S:.0f} s of CPU time"
            )
        try:
            return self._deadline.call(LogFilter, definition, timezone)
        except TooSlow:
            raise FilterError(f"{where}: its expressions take longer than {ONE_S:.0f} s to compile") from None
