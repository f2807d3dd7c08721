"""The log files that are open: which, where each starts, in which order generations are read, when they are closed."""

from collections import deque
from collections.abc import Container, Iterable, Mapping
from itertools import pairwise
from typing import TypeAlias

from monitor.files import inotify
from monitor.sources.tail.cursors import Part, decode_cursor, find_parts, find_repeated, rotated_files
from monitor.sources.tail.file import TailFile
from monitor.sources.tail.paths import Match
from monitor.sources.tail.quota import choose, left_out
from monitor.sources.tail.stats import TailStats

MAX_FILES = 512
_MAX_RETIRED = 64
_MAX_SAVED = 4096
_MAX_NOTICES = 16
_MAX_TRIES = 8
_GRACE_S = 5.0  # writers keep using a rotated file until they reopen it
_ABANDONED_S = 600.0  # a writer that never reopens

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""


class Files:
    """The open files. A log that is rotated is a chain of them, `older` to `newer`, under one path."""

    def __init__(
        self, watcher: inotify.Inotify, cursors: Mapping[str, str], max_line_bytes: int, stats: TailStats
    ) -> None:
        """Open nothing yet; `cursors`: those that an earlier run saved, by path."""
        self.open: dict[Identity, TailFile] = {}
        self.by_watch: dict[int, TailFile] = {}
        self.newest: dict[str, TailFile] = {}
        """By path: its file, or the last it had."""
        self.unreadable: dict[str, str] = {}
        """Why, by path."""
        self.too_many: dict[str, int] = {}
        """How many files of each pattern are not followed because there are too many."""
        self.gaps: deque[str] = deque(maxlen=_MAX_NOTICES)
        """Where lines may be missing, a sentence each."""
        self._stats = stats
        self._watcher = watcher
        self._max_line_bytes = max_line_bytes
        self._saved = dict(cursors)
        self._passed_over: set[Identity] = set()
        """Files that are there but not open: if they are one day, what is in them now is old."""

    def update(self, found: Mapping[Identity, Match], now_s: float, *, is_start: bool) -> list[TailFile]:
        """Follow what was found, and only that; return the files in which there may be something to read.

        Of too many, those are followed that `quota.choose` names. The others are closed, and continue at their cursor
        when their turn comes.
        """
        chosen = choose(found, MAX_FILES)
        self.too_many = left_out(found, chosen)
        for identity in found.keys() & self.open.keys() - chosen:
            self._suspend(self.open[identity])
        for identity, match in found.items():
            if file := self.open.get(identity):
                if file.retired_s is not None:
                    self._unlink(file)
                file.path, file.detectors, file.retired_s = match.path, match.detectors, None
        left = [file for identity, file in self.open.items() if identity not in found and file.retired_s is None]
        for file in left:
            file.retired_s = now_s
        self._index()
        self.unreadable = {}
        new = sorted((found[identity].changed_ns, identity) for identity in chosen - self.open.keys())
        changed = left
        for _, identity in new:
            changed += self._follow(found[identity], now_s, is_old=is_start or identity in self._passed_over)
        self._passed_over = found.keys() - self.open.keys()
        return changed

    def finish(self, busy: Container[TailFile], now_s: float) -> list[TailFile]:
        """Close and return files that were rotated away, unless they are `busy`, and whatever is too many of them."""
        retired = [file for file in self.open.values() if file.retired_s is not None]
        surplus = retired[: max(0, len(retired) - _MAX_RETIRED)]
        over = [file for file in retired if file in surplus or (file not in busy and self._is_over(file, now_s))]
        for file in over:
            if file in busy:
                self._lose(f"{file.path}: too many older generations are unread; one was given up")
            self.drop(file)
        return over

    def drop(self, file: TailFile) -> None:
        """Close a file that is over, and remember the cursor of one that still exists: it may come back."""
        if self.open.get(file.identity) is not file:
            return
        self._stats.lost_bytes += file.unread_bytes
        if self.newest.get(file.path) is file:
            del self.newest[file.path]
            if not file.is_deleted:
                self._save(file.path, file.cursor())
        if file.has_begun and file.newer:
            file.newer.has_begun = True
        self._discard(file)

    def _suspend(self, file: TailFile) -> None:
        """Close a file that others have taken the place of, and keep its cursor; older generations are read on."""
        self._save(file.path, file.cursor())
        if self.newest.get(file.path) is file:
            del self.newest[file.path]
        self._discard(file)

    def _save(self, path: str, cursor: str) -> None:
        self._saved[path] = cursor
        if len(self._saved) > _MAX_SAVED:
            del self._saved[next(iter(self._saved))]

    def truncated(self, file: TailFile, now_s: float) -> list[TailFile]:
        """Begin anew in a file that was emptied; what is unread is read from the copy that was made, if there is one.

        Returns the files to read.
        """
        if file.is_copy:  # the next copy is written over it
            self.drop(file)
            return []
        cursor = decode_cursor(file.cursor())
        parts = find_parts(file.path, cursor) if cursor else None
        copies = self._open_parts((part for part in parts or () if part.is_copy), file, now_s, is_live=True)
        if not copies:  # no rotation: what was read may have been written there again
            file.repeats.expect_known(file.before, file.read_at_s)
        file.restart()
        file.has_begun = not copies
        self._chain([*([file.older] if file.older else ()), *copies, file])
        return [*copies, file]

    def cursor(self, path: str) -> str | None:
        """Return the cursor of this path: in its newest file of which something was read; None if there is none."""
        file = self.newest.get(path)
        if file is None:
            return self._saved.get(path)
        while not file.has_begun and file.older:
            file = file.older
        return file.cursor()

    def close(self) -> None:
        """Close all."""
        for file in self.open.values():
            file.close()

    def _index(self) -> None:
        self.newest = {}
        for file in self.open.values():
            other = self.newest.get(file.path)
            if file.newer is None and (other is None or other.retired_s is not None):
                self.newest[file.path] = file

    def _follow(self, match: Match, now_s: float, *, is_old: bool) -> list[TailFile]:
        """Open a file and the generations before it that are unread; return them in order."""
        file = self._open(match.path, match.path, match.detectors)
        if file is None:
            return []
        try:
            chain = [*self._begin(file, now_s, is_old=is_old), file]
        except OSError as error:
            self.unreadable[file.path] = error.strerror or "not readable"
            self._discard(file)
            return []
        self._chain(chain)
        self.newest[match.path] = file
        return chain

    def _begin(self, file: TailFile, now_s: float, *, is_old: bool) -> list[TailFile]:
        """Go to where reading starts in a file that was just opened; return the generations to read before."""
        if older := self.newest.get(file.path):
            self._stats.rotations += 1
            if not is_rotated(older):
                file.repeats.expect(older)
            return [older, *self._open_missed(older, file, now_s)]
        if saved := self._saved.get(file.path):
            older_files = self._resume(file, saved, now_s)
            del self._saved[file.path]
            return older_files
        if is_old:
            file.go_to_end()
        return []

    def _open_missed(self, older: TailFile, file: TailFile, now_s: float) -> list[TailFile]:
        """Open the generations between two files; names may change between listing and opening."""
        opened: dict[Identity, TailFile] = {}
        for _ in range(_MAX_TRIES):
            missed = _missed(older)
            for found in self._open_parts(missed, file, now_s, is_live=True):
                opened[found.identity] = found
            if all(part.identity in self.open for part in missed):
                break
        else:
            self._lose(f"{file.path}: it is rotated faster than its generations can be opened")
        order = [part.identity for part in missed]
        return sorted(opened.values(), key=lambda found: order.index(found.identity) if found.identity in order else -1)

    def _resume(self, file: TailFile, saved: str, now_s: float) -> list[TailFile]:
        """Continue at a saved cursor; return the older generations to read first."""
        cursor = decode_cursor(saved)
        parts = find_parts(file.path, cursor) if cursor else None
        if not parts and cursor and (offset := find_repeated(file.path, cursor)):
            parts = [Part(file.path, offset)]
        if not parts:
            self._lose(f"{file.path}: the saved cursor is gone; reading starts at the beginning of the file")
            parts = [Part(file.path, 0)]
        older = self._open_parts(parts[:-1], file, now_s, is_live=False)
        if any(part.identity not in self.open for part in parts[:-1]):
            self._lose(f"{file.path}: an older generation went before it could be read")
        file.go_to(parts[-1].offset, is_live=False)
        return older

    def _open_parts(self, parts: Iterable[Part], of: TailFile, now_s: float, *, is_live: bool) -> list[TailFile]:
        """Open older generations of a file."""
        opened = []
        for part in parts:
            if file := self._open(part.path, of.path, of.detectors, part.identity):
                file.retired_s, file.is_copy = now_s, part.is_copy
                file.go_to(part.offset, is_live=is_live)
                opened.append(file)
        return opened

    def _open(
        self, path: str, name: str, detectors: tuple[str, ...], identity: Identity | None = None
    ) -> TailFile | None:
        """Open what is at a path as a file of the log of that name.

        None where it cannot be, is open already, or is not the file of that identity any more.
        """
        try:
            file = TailFile(path, detectors, self._max_line_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable[path] = error.strerror or "not readable"
            return None
        if file.identity in self.open or identity not in (None, file.identity):
            file.close()
            return None
        file.path = name
        # What is watched must be what was opened, not what has its name by now
        file.watch = self._watcher.add(f"/proc/self/fd/{file.descriptor}", inotify.MODIFY | inotify.ATTRIB)
        if file.watch >= 0:
            self.by_watch[file.watch] = file
        self.open[file.identity] = file
        return file

    @staticmethod
    def _chain(files: list[TailFile]) -> None:
        for older, newer in pairwise(files):
            older.newer, newer.older = newer, older

    @staticmethod
    def _is_over(file: TailFile, now_s: float) -> bool:
        """Whether nothing writes to this file any more: its successor is written, or it is deleted, and it is quiet."""
        retired_s = file.retired_s or 0.0
        if file.older or now_s - max(retired_s, file.read_s) < _GRACE_S:
            return False
        is_succeeded = file.newer is not None and file.newer.has_begun
        return is_succeeded or file.is_deleted or now_s - retired_s >= _ABANDONED_S

    def _discard(self, file: TailFile) -> None:
        self._unlink(file)
        self._watcher.remove(file.watch)
        self.by_watch.pop(file.watch, None)
        del self.open[file.identity]
        file.close()

    @staticmethod
    def _unlink(file: TailFile) -> None:
        """Take a file out of its chain."""
        if file.newer:
            file.newer.older = file.older
        if file.older:
            file.older.newer = file.newer
        file.older = file.newer = None

    def _lose(self, gap: str) -> None:
        self._stats.lost += 1
        self.gaps.append(gap)


def is_rotated(older: TailFile) -> bool:
    """Whether a file is an older generation of its log now, and was not deleted or moved out of the way."""
    return any(generation.identity == older.identity for generation in rotated_files(older.path))


def _missed(older: TailFile) -> list[Part]:
    """Return the generations between a file that was rotated away and the one that has its path now."""
    rotated = rotated_files(older.path)
    identities = [generation.identity for generation in rotated]
    if older.identity not in identities:
        return []
    later = rotated[identities.index(older.identity) + 1 :]
    return [Part(generation.path, 0, identity=generation.identity) for generation in later]
