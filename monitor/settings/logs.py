"""The settings of detectors of failures in logs."""

import enum
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import FILE_PATTERN, FILTER, JOURNAL_MATCH, TIMEZONE, Names, duration, integer
from monitor.config.shapes import Conflict
from monitor.model.names import RESERVED
from monitor.settings.detector import Detector, reachable

DETECTOR_NAMES = Names(
    "[A-Za-z0-9_-]{1,32}",
    "a name of 1 to 32 letters, digits, _ and -",
    reserved=RESERVED,
)
"""Names of failures detectors; those reserved stand for other detectors in bans, metrics and the history."""


class Backend(enum.StrEnum):
    """Where a detector's log is read."""

    AUTO = "auto"
    JOURNAL = "journal"
    FILES = "files"


class Failures(Detector, frozen=True, kw_only=True):
    """One source fails too often in one application."""

    enabled: Annotated[bool, Meta(description="`false` switches this detector off.")] = True
    filter: Annotated[
        str,
        FILTER,
        Meta(
            description="What a failure looks like: the name of a built-in filter, or the absolute path of one of your "
            "own (`*.yaml`) or of fail2ban's (`/etc/fail2ban/filter.d/NAME.conf`); parameters follow in brackets: "
            "`sshd[mode=aggressive]`."
        ),
    ]
    backend: Annotated[
        Backend,
        Meta(
            description="Where the log is read. `auto`: the journal, where there is one and filter or `journalmatch` "
            "say what to look for in it; otherwise files. Naming `files` alone means files."
        ),
    ] = Backend.AUTO
    files: Annotated[
        tuple[Annotated[str, FILE_PATTERN], ...],
        Meta(description="The log files, as absolute paths in which `*`, `?` and `[...]` match; empty: the filter's."),
    ] = ()
    journalmatch: Annotated[
        tuple[Annotated[str, JOURNAL_MATCH], ...],
        Meta(
            description="What to read of the journal, as for journalctl(1); of several lines one is enough; "
            "empty: the filter's."
        ),
    ] = ()
    timezone: Annotated[
        str,
        TIMEZONE,
        Meta(
            description="The time zone of dates in files that name none, such as `Europe/Berlin` or `UTC+02:00`; "
            "empty: the system's."
        ),
    ] = ""
    maxretry: Annotated[
        int, integer(1, 10_000), Meta(description="How many failures of one source within `findtime` are too many.")
    ] = 5
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    max_entries: Annotated[
        int,
        integer(1024, 1_048_576),
        Meta(description="How many failures are remembered at most: the bound on memory."),
    ] = 32_768

    def conflicts(self) -> Iterable[Conflict]:
        """Return what does not go together: thresholds beyond the bound, places that are never read."""
        yield from reachable(self.maxretry, self.max_entries)
        if self.backend is Backend.JOURNAL and self.files:
            yield Conflict(("files", "backend"), "never read: backend is journal")
        if self.backend is Backend.FILES and self.journalmatch:
            yield Conflict(("journalmatch", "backend"), "never used: backend is files")


DEFAULT_FAILURES = {"sshd": Failures(filter="sshd")}
"""What is there without being configured."""
