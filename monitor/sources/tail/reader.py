"""Follows log files over rotations, by inotify, and hands on whole lines in blocks."""

import time
from collections.abc import Container, Mapping, Sequence

from monitor.files import inotify
from monitor.files.permissions import Grants
from monitor.model.logs import LogBlock
from monitor.sources.tail.file import TailFile
from monitor.sources.tail.files import MAX_FILES, Files
from monitor.sources.tail.lines import Run
from monitor.sources.tail.paths import Paths
from monitor.sources.tail.stats import TailStats

__all__ = ["MIN_LINE_BYTES", "Tail", "TailStats"]

MIN_LINE_BYTES = 256
_CHUNK_BYTES = 131_072
_MIN_COST_BYTES = 1_024  # of a read that finds nothing
_MAX_NAMED = 3
_SCAN_S = 60.0
_COSTLY_SCAN_S = 10.0
_SCAN_SOON_S = 5.0
"""Without inotify, and while a file cannot be read: most of what keeps it from being read passes."""


class Tail:
    """A source of log blocks. Wait until `fileno` is readable, `read` until `is_drained`; call `tick` once a second.

    A file that is new at the start is read from its end, one that appears later from its beginning, one with a saved
    cursor from there, across rotations by rename or copytruncate. At most 512 files are followed: see `quota`.
    """

    name = "files"

    def __init__(
        self,
        patterns: Mapping[str, Sequence[str]],
        *,
        cursors: Mapping[str, str] | None = None,
        max_line_bytes: int = 8192,
        stats: TailStats | None = None,
    ) -> None:
        """Open what is there; never raises for what the system lacks, `problems` says it.

        `patterns`: absolute patterns of glob(7) by detector; `**` is no more than `*`. `cursors`: what `cursors()`
        returned in an earlier run; lines may be waiting there, so `read` before waiting. `max_line_bytes`: with the
        newline. Totals given as `stats` are counted on. ValueError for a relative pattern or too short a line.
        """
        if max_line_bytes < MIN_LINE_BYTES:
            raise ValueError(f"max_line_bytes is {max_line_bytes}, must be at least {MIN_LINE_BYTES}")
        for pattern in (pattern for wanted in patterns.values() for pattern in wanted):
            if not pattern.startswith("/"):
                raise ValueError(f"{pattern} is no absolute path")
        self.stats = stats or TailStats()
        self.is_drained = False
        """Whether the last `read` took all there was."""
        self._watcher = inotify.Inotify()
        self._paths = Paths(patterns, self._watcher)
        self._files = Files(self._watcher, cursors or {}, max_line_bytes, self.stats)
        self._ready: dict[TailFile, None] = {}
        """Files in which there may be something to read, in turn."""
        self._moved: set[str] = set()
        self._is_stale = True
        self._may_scan = True
        self._scanned_s = 0.0
        self._scan(is_start=True)

    def fileno(self) -> int:
        """Return the descriptor to wait on; readable when something may be read."""
        return self._watcher.fileno()

    def close(self) -> None:
        """Close all files."""
        self._files.close()
        self._watcher.close()

    @property
    def problems(self) -> list[str]:
        """What cannot be read as it should, a sentence each."""
        found = [f"{path} cannot be read: {reason}" for path, reason in self._files.unreadable.items()]
        if len(found) > _MAX_NAMED:
            found[_MAX_NAMED:] = [f"{len(found) - _MAX_NAMED} more log files cannot be read"]
        too_many = [
            f"{count} log files of {pattern} are not followed: more than {MAX_FILES} match; those written last are"
            for pattern, count in self._files.too_many.items()
        ]
        if len(too_many) > _MAX_NAMED:
            too_many[_MAX_NAMED:] = [f"log files of {len(too_many) - _MAX_NAMED} more patterns are not followed"]
        found += too_many
        return [*found, *self._paths.problems, *([self._watcher.warning] if self._watcher.warning else ())]

    @property
    def notices(self) -> list[str]:
        """What one should know of what is read, a sentence each: what proves nothing, where lines may be missing."""
        found = [f"{file.path} proves nothing: {file.reason}" for file in self._files.open.values() if file.reason]
        if len(found) > _MAX_NAMED:
            found[_MAX_NAMED:] = [f"{len(found) - _MAX_NAMED} more log files prove nothing"]
        return [*found, *self._files.gaps]

    @property
    def waiting(self) -> list[str]:
        """Patterns that no file matches yet."""
        return self._paths.waiting

    def cursors(self) -> dict[str, str]:
        """Return the cursor of each file, by path: only lines that were handed out are before it."""
        return {path: cursor for path in self._files.newest if (cursor := self._files.cursor(path)) is not None}

    def changed_cursors(self, busy: Container[str] = ()) -> dict[str, str]:
        """Return those of `cursors()` that may have changed since they were returned, except of the `busy` paths."""
        moved = {path for path in self._moved if path not in busy}
        self._moved -= moved
        return {path: cursor for path in moved if (cursor := self._files.cursor(path)) is not None}

    def read(self, limit_bytes: int = 262_144, busy: Container[str] = ()) -> list[LogBlock]:
        """Return about `limit_bytes` of waiting lines; many files take turns, older generations come first.

        Nothing is read of the `busy` paths.
        """
        now_s = time.monotonic()
        self._notice()
        if self._is_scan_due:
            self._scan()
        blocks: list[LogBlock] = []
        known: dict[str, Grants] = {}
        waiting = {file: None for file in self._ready if file.path in busy}
        for file in waiting:
            del self._ready[file]
        while self._ready and limit_bytes > 0:
            file = next(iter(self._ready))
            del self._ready[file]
            if file.older not in self._ready:
                file.check_writer(now_s, known)
                blocks += self._read(file, limit_bytes, now_s)
                limit_bytes -= max(_MIN_COST_BYTES, file.took_bytes)
            if file.older in self._ready or not file.at_end:
                self._ready[file] = None
            elif file.is_copy:
                self._files.drop(file)
        self._ready |= waiting
        self.is_drained = not self._ready
        self._measure()
        return blocks

    @property
    def has_news(self) -> bool:
        """Whether `tick` has something to do soon: files came or went, and are not listed yet since that is costly."""
        return self._is_stale

    def watched(self) -> list[tuple[int, int]] | None:
        """Return the descriptors of all open files and their lengths; None if there is something to read."""
        return [file.known_length for file in self._files.open.values()] if self.is_drained else None

    def tick(self, now_s: float | None = None) -> bool:
        """Check what inotify does not report, and close what is done; return whether `read` should be called.

        Call it about once a second; `now_s` is the monotonic clock.
        """
        now_s = time.monotonic() if now_s is None else now_s
        for file in self._files.finish(self._ready, now_s):
            self._ready.pop(file, None)
            self._moved.add(file.path)
            self._is_stale = self._is_stale or bool(self._files.too_many)
        for file in self._files.open.values():  # network file systems do not report what others write
            if file.has_changed() or file.path in self._files.unreadable:
                self._ready[file] = None
        is_whole = self._watcher.works and not self._files.unreadable
        if now_s - self._scanned_s >= (_SCAN_S if is_whole else _SCAN_SOON_S):
            self._is_stale = True
        self._may_scan = self._may_scan or now_s - self._scanned_s >= _COSTLY_SCAN_S
        self.is_drained = not (self._ready or self._is_scan_due)
        self._measure()
        return not self.is_drained

    @property
    def _is_scan_due(self) -> bool:
        return self._is_stale and (self._may_scan or not (self._paths.is_costly or self._files.too_many))

    def _notice(self) -> None:
        """Take the events of inotify."""
        for watch, mask, name in self._watcher.events():
            if mask & inotify.OVERFLOW:
                self._ready.update(dict.fromkeys(self._files.open.values()))
                self._is_stale = True
            elif file := self._files.by_watch.get(watch):
                if mask & inotify.ATTRIB:
                    file.doubt()
                if mask & inotify.MODIFY:
                    self._ready[file] = None
            elif self._paths.is_relevant(watch, mask, name):
                self._is_stale = True

    def _scan(self, *, is_start: bool = False) -> None:
        """List the files."""
        self._is_stale = self._may_scan = False
        self._scanned_s = time.monotonic()
        changed = self._files.update(self._paths.scan(), self._scanned_s, is_start=is_start)
        for file in changed:
            self._ready[file] = None
            self._moved.add(file.path)
        for file in [file for file in self._ready if self._files.open.get(file.identity) is not file]:
            del self._ready[file]
        self._measure()

    def _read(self, file: TailFile, limit_bytes: int, now_s: float) -> list[LogBlock]:
        """Read the next lines of a file."""
        try:
            taken = file.read(min(limit_bytes, _CHUNK_BYTES))
            if taken is None:
                self.stats.truncations += 1
                self._ready.update(dict.fromkeys(self._files.truncated(file, now_s)))
                return []
        except OSError as error:
            self.stats.malformed += 1
            self._files.unreadable[file.path] = error.strerror or "not readable"
            file.at_end = True
            return []
        self._files.unreadable.pop(file.path, None)
        runs, is_live = taken
        if file.took_bytes:
            file.read_s = now_s
            self._moved.add(file.path)
        return [self._block(file, run, is_live=is_live) for run in runs]

    def _block(self, file: TailFile, run: Run, *, is_live: bool) -> LogBlock:
        lines = run.data.count(b"\n")
        self.stats.records += lines
        self.stats.bytes += len(run.data)
        self.stats.cut_lines += run.is_cut
        self.stats.untrusted += lines if run.is_cut or file.reason else 0
        return LogBlock(
            log=file.path,
            detectors=file.detectors,
            data=run.data,
            read_s=time.time(),
            is_live=is_live,
            after_s=file.repeats.after_s,
            writer=file.writer,
            is_cut=run.is_cut,
        )

    def _measure(self) -> None:
        self.stats.files = len(self._files.open)
        self.stats.unreadable_files = len(self._files.unreadable)
        self.stats.unfollowed_files = sum(self._files.too_many.values())
