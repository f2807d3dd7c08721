"""What sources of log text need from the filters: which logs to read for whom, and a scan of each block."""

import math
from collections.abc import Mapping
from typing import Protocol

from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock


class LogTargets(Protocol):
    """The logs that detectors read, by detector."""

    @property
    def files(self) -> Mapping[str, tuple[str, ...]]:
        """Absolute patterns of glob(7), for detectors that read files."""
        ...

    @property
    def journal(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """Lines of journalctl(1)'s terms, for detectors that read the journal; none means all of it."""
        ...


class BlockScan(Protocol):
    """The scan of one block, which can be interrupted and resumed."""

    has_more: bool
    """Whether the last run stopped before the end."""

    @property
    def is_waiting(self) -> bool:
        """Whether it cannot go on now, since filters are still being compiled."""
        ...

    def run(self, until_s: float = math.inf) -> list[AuthFailure]:
        """Continue to the end, or until `until_s` of the monotonic clock; return the failures found."""
        ...


class LogScanner(LogTargets, Protocol):
    """The filters, as sources of log text use them."""

    def begin(self, block: LogBlock) -> BlockScan | None:
        """Return a scan of this block; None where no filter wants it. Run scans in the order of their blocks."""
        ...
