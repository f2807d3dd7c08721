"""The runner of log files."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from monitor.model.cursors import Cursor, CursorStore
from monitor.model.logs import LogBlock
from monitor.sources.log_runner import LogRunner
from monitor.sources.log_scanner import LogScanner
from monitor.sources.runner import Process
from monitor.sources.tail.metrics import COUNTERS
from monitor.sources.tail.reader import Tail, TailStats
from monitor.sources.tail.settings import FilesSettings

_READ_BYTES = 262_144
_CURSOR = "file:"
"""Before the path, in the names of cursors."""


class _Opening(NamedTuple):
    """What the files are opened for."""

    patterns: Mapping[str, tuple[str, ...]]
    max_line_bytes: int


class FilesRunner(LogRunner[Tail, FilesSettings]):
    """Owns all log files, as one source."""

    name = Tail.name
    title = "log files"
    counters = LogRunner.counters | COUNTERS
    stats: TailStats

    def __init__(self, settings: FilesSettings, scanner: LogScanner, cursors: CursorStore, process: Process) -> None:
        """Open nothing yet."""
        super().__init__(scanner, cursors, process, TailStats())
        self._opening = _Opening(scanner.files, settings.max_line_bytes)
        self._read_to: dict[str, str] = {}
        """Cursors by path."""

    @property
    def is_wanted(self) -> bool:
        """Whether a detector reads files."""
        return bool(self._opening.patterns)

    @property
    def waiting(self) -> list[str]:
        """Patterns that no file matches yet."""
        return self._source.waiting if self._source else []

    @property
    def notices(self) -> list[str]:
        """What operators should know of the files: which prove nothing, where lines may be missing."""
        return self._source.notices if self._source else []

    @property
    def state(self) -> str:
        """Its state; `waiting for files` where no pattern matches a file yet."""
        return "waiting for files" if self._source and not self.stats.files else super().state

    def reconfigure(self, settings: FilesSettings) -> None:
        """Follow changed settings, and the files that the scanner now reads, without losing a cursor."""
        opening = _Opening(self._scanner.files, settings.max_line_bytes)
        if opening != self._opening:
            self._opening = opening
            self._renew()

    def has_news(self) -> bool:
        """Return whether files are to be listed."""
        return super().has_news() or (self._source is not None and self._source.has_news)

    def watched(self) -> Sequence[tuple[int, int]] | None:
        """Return the open files and their lengths: network file systems do not report what others write."""
        watched = super().watched()
        return self._source.watched() if self._source and watched is not None else watched

    def problems(self) -> list[str]:
        """Say what is wrong."""
        return [*super().problems(), *(self._source.problems if self._source else ())]

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self.stats
        other = {
            "files": stats.files,
            "unreadable": stats.unreadable_files,
            "not followed": stats.unfollowed_files,
            "rotations": stats.rotations,
            "truncations": stats.truncations,
            "untrusted": stats.untrusted,
            "cut": stats.cut_lines,
        }
        return {**super().describe(), "other": other}

    def _make(self) -> Tail:
        opening = self._opening
        return Tail(opening.patterns, cursors=self._read_to, max_line_bytes=opening.max_line_bytes, stats=self.stats)

    def _read(self, source: Tail, busy: Container[str], limit_bytes: int) -> Sequence[LogBlock]:
        return source.read(min(_READ_BYTES, limit_bytes), busy)

    def _maintain(self, source: Tail) -> None:
        source.tick()

    def _load_cursor(self) -> None:
        for name, cursor in self._cursors.load_cursors().items():
            if name.startswith(_CURSOR) and isinstance(cursor.position, str):
                self._read_to[name.removeprefix(_CURSOR)] = cursor.position

    def _save_read(self, source: Tail, busy: Container[str]) -> None:
        for path, cursor in source.changed_cursors(busy).items():
            if self._read_to.get(path) != cursor:
                self._read_to[path] = cursor
                self._cursors.save_cursor(_CURSOR + path, Cursor("", cursor))

    def _explain_loss(self) -> str:
        return f"lines of log files may be lost ({self.stats.lost} gaps so far): {'; '.join(self.notices)}"
