"""The runner of the systemd journal."""

import logging
import time
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from monitor.model.cursors import Cursor, CursorStore
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.logs import LogBlock
from monitor.sources.journal.metrics import COUNTERS
from monitor.sources.journal.reader import Journal, JournalStats
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.log_runner import LogRunner
from monitor.sources.log_scanner import LogScanner
from monitor.sources.runner import Process

_log = logging.getLogger(__name__)
_READ_ENTRIES = 1000
_CHECK_EVERY_S = 60.0
_PEEK_EVERY_S = 0.008
_PEEK_FOR_S = 2.0
"""journald notifies readers of an entry a quarter to half a second after it wrote it (a timer of 250 ms, as inexact as
it is long). Entries come in bursts, so for a while after each the journal is polled."""


class _Opening(NamedTuple):
    """What the journal is opened for."""

    matches: Mapping[str, tuple[tuple[str, ...], ...]]
    max_line_bytes: int


class JournalRunner(LogRunner[Journal, JournalSettings]):
    """Owns the systemd journal."""

    name = Journal.name
    title = "the journal"
    counters = LogRunner.counters | COUNTERS
    stats: JournalStats

    def __init__(self, settings: JournalSettings, scanner: LogScanner, cursors: CursorStore, process: Process) -> None:
        """Open nothing yet."""
        super().__init__(scanner, cursors, process, JournalStats())
        self._opening = _Opening(scanner.journal, settings.max_line_bytes)
        self._cursor = ""
        self._notices: list[str] = []
        self._damage: list[str] = []
        self._check_at_s = 0.0
        self._records_known = 0
        self._peek_until_s = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether a detector reads the journal."""
        return bool(self._opening.matches)

    @property
    def notices(self) -> list[str]:
        """What the last opening reported."""
        return self._notices

    def reconfigure(self, settings: JournalSettings) -> None:
        """Follow changed settings, and what the scanner now reads of the journal, without losing the cursor."""
        opening = _Opening(self._scanner.journal, settings.max_line_bytes)
        if opening != self._opening:
            self._opening = opening
            self._renew()

    def has_news(self) -> bool:
        """Return whether ticks have to read it: some file systems notify nobody."""
        try:
            return super().has_news() or (self._source is not None and self._source.timeout_s is not None)
        except SYSTEM_FAULTS:  # the tick reports it
            return True

    def problems(self) -> list[str]:
        """Say what is wrong."""
        return [*super().problems(), *self._damage]

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self.stats
        other = {"suppressed": stats.suppressed, "untrusted": stats.untrusted, "cut": stats.cut_lines}
        return {**super().describe(), "other": other}

    def _make(self) -> Journal:
        opening = self._opening
        source = Journal(opening.matches, cursor=self._cursor, max_line_bytes=opening.max_line_bytes, stats=self.stats)
        self._notices = source.notices
        for notice in source.notices:
            _log.warning("%s", notice)
        self._check_at_s = 0.0
        return source

    def _read(self, source: Journal, busy: Container[str], limit_bytes: int) -> Sequence[LogBlock]:  # noqa: ARG002
        return () if source.name in busy else source.read(_READ_ENTRIES)

    def _come_back(self) -> None:
        super()._come_back()
        now_s = time.monotonic()
        if self.stats.records != self._records_known:
            self._records_known = self.stats.records
            self._peek_until_s = now_s + _PEEK_FOR_S
        if self._source and self._loop and not self._again and now_s < self._peek_until_s:
            self._again = self._loop.call_later(_PEEK_EVERY_S, self._readable)

    def _maintain(self, source: Journal) -> None:
        """Check the files now and then, which is costly; read on file systems that do not notify of changes."""
        if (now_s := time.monotonic()) >= self._check_at_s:
            self._check_at_s = now_s + _CHECK_EVERY_S
            self._damage = source.problems
        if source.needs_polling:
            self._take(source)

    def _release(self) -> None:
        super()._release()
        self._damage = []

    def _load_cursor(self) -> None:
        cursor = self._cursors.load_cursors().get(self.name)
        if cursor is not None and isinstance(cursor.position, str):
            self._cursor = cursor.position

    def _save_read(self, source: Journal, busy: Container[str]) -> None:
        if source.name not in busy and (cursor := source.cursor) not in ("", self._cursor):
            self._cursor = cursor
            self._cursors.save_cursor(self.name, Cursor("", cursor))

    def _explain_loss(self) -> str:
        return f"entries of the journal may be lost: {'; '.join(self._notices) or 'see the log'}"
