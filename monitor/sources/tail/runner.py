"""Brings failures from log files to the pipeline."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from monitor.daemon.sources.log_scan import LogScan
from monitor.model.cursors import Cursor
from monitor.model.logs import LogBlock
from monitor.settings.schema import Settings
from monitor.sources.cursors import CursorStore
from monitor.sources.log_runner import LogRunner
from monitor.sources.runner import Process
from monitor.sources.tail.reader import Tail, TailStats

_READ_BYTES = 262_144
_CURSOR = "file:"
"""Before the path, in the names of cursors."""


class _Asked(NamedTuple):
    """What files are followed for."""

    patterns: dict[str, tuple[str, ...]]
    max_line_bytes: int


class FilesRunner(LogRunner[Tail]):
    """Log files, all of them in one source."""

    name = "files"
    title = "log files"
    stats: TailStats

    def __init__(self, settings: Settings, scan: LogScan, cursors: CursorStore, process: Process) -> None:
        """Nothing is opened yet."""
        super().__init__(scan, cursors, process, TailStats())
        self._asked = _Asked(scan.files, settings.sources.files.max_line_bytes)
        self._read_to: dict[str, str] = {}
        """Cursors by path."""

    @property
    def is_wanted(self) -> bool:
        """Whether a detector reads files."""
        return bool(self._asked.patterns)

    @property
    def waiting(self) -> list[str]:
        """The patterns that no file matches yet."""
        return self._source.waiting if self._source else []

    @property
    def notices(self) -> list[str]:
        """What one should know of the files: which prove nothing, where lines may be missing."""
        return self._source.notices if self._source else []

    @property
    def state(self) -> str:
        """How it is: `waiting for files` where none of those that are named is there yet."""
        return "waiting for files" if self._source and not self.stats.files else super().state

    def reconfigure(self, settings: Settings) -> None:
        """Follow what `scan` now wants of files, without losing a cursor."""
        asked = _Asked(self._scan.files, settings.sources.files.max_line_bytes)
        if asked != self._asked:
            self._asked = asked
            self._renew()

    def problems(self) -> list[str]:
        """Say what is wrong."""
        return [*super().problems(), *(self._source.problems if self._source else ())]

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self.stats
        other = {
            "files": stats.files,
            "unreadable": stats.unreadable_files,
            "rotations": stats.rotations,
            "truncations": stats.truncations,
            "untrusted": stats.untrusted,
            "cut": stats.cut_lines,
        }
        return {**super().describe(), "other": other}

    def _make(self) -> Tail:
        asked = self._asked
        return Tail(asked.patterns, cursors=self._read_to, max_line_bytes=asked.max_line_bytes, stats=self.stats)

    def _read(self, source: Tail) -> Sequence[LogBlock]:
        return source.read(_READ_BYTES)

    def _look_after(self, source: Tail) -> None:
        source.tick()

    def _load_cursor(self) -> None:
        for name, cursor in self._cursors.load_cursors().items():
            if name.startswith(_CURSOR) and isinstance(cursor.position, str):
                self._read_to[name.removeprefix(_CURSOR)] = cursor.position

    def _save_read(self, source: Tail) -> None:
        for path, cursor in source.changed_cursors().items():
            if self._read_to.get(path) != cursor:
                self._read_to[path] = cursor
                self._cursors.save_cursor(_CURSOR + path, Cursor("", cursor))

    def _explain_loss(self) -> str:
        return f"lines of log files may be lost ({self.stats.lost} gaps so far): {'; '.join(self.notices)}"
