"""One open log file: reads it on in whole lines, notices when it was emptied, and knows where it stands."""

import errno
import os
import time

from monitor.files.permissions import Grants, file_writer
from monitor.model.writers import FileWriter, ordinary_reason
from monitor.sources.tail.cursors import MARK_BYTES, encode_cursor, open_regular
from monitor.sources.tail.lines import END_BYTES, Run, cut, split_lines
from monitor.sources.tail.repeats import Repeats

_CHECK_S = 60.0


class TailFile:
    """A regular file that is read from `offset` on; nothing of it is kept in memory but a few bytes.

    Each read starts a little before the offset: if what is there is not what was there, the file was emptied and
    written anew, however long it is by now. Only a file that has the same bytes there again is not noticed.
    """

    def __init__(self, path: str, detectors: tuple[str, ...], max_line_bytes: int) -> None:
        """Open it at its beginning; OSError where that cannot be done."""
        self.path = path
        self.detectors = detectors
        self.descriptor = open_regular(path)
        status = os.fstat(self.descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self.offset = 0
        """Where the first line starts that was not handed out."""
        self.has_begun = False
        """Whether all before it was handed out, so that the cursor to save is in this file."""
        self.at_end = False
        """Whether the last `read` took all there was."""
        self.took_bytes = 0
        """How many bytes the last `read` had to examine."""
        self.older: TailFile | None = None
        """The log's generation before this one: to be read first."""
        self.newer: TailFile | None = None
        self.retired_s: float | None = None
        """Since when no pattern leads to it, on the monotonic clock."""
        self.is_copy = False
        """Whether it was made by copying: nothing writes to it, so that it is done at its end."""
        self.read_s = 0.0
        """When something was last found in it, on the monotonic clock."""
        self.watch = -1
        self.writer: FileWriter | None = None
        """Who may write it, as of the last check."""
        self.reason = ""
        """Why what it says proves nothing; empty: only system accounts can have written it."""
        self._checked_s: float | None = None
        self._max_line_bytes = max_line_bytes
        self.before = b""
        """The bytes just before the offset."""
        self.read_at_s = time.time()
        """Wall time of the last read that found something."""
        self.repeats = Repeats()
        self._scanned = 0
        """Up to where there is no newline behind the offset."""
        self._has_head = True
        """Whether the line at the offset starts there."""
        self._live_from = 0

    def close(self) -> None:
        """Close it; nothing of it can be read any more."""
        self.at_end = True
        os.close(self.descriptor)

    @property
    def is_deleted(self) -> bool:
        """Whether no name leads to it any more."""
        status = self._status()
        return status is None or status.st_nlink == 0

    @property
    def unread_bytes(self) -> int:
        """How much lies behind the offset."""
        status = self._status()
        return max(0, status.st_size - self.offset) if status else 0

    def has_changed(self) -> bool:
        """Whether its length is another than the last `read` saw."""
        status = self._status()
        return status is not None and status.st_size != self._scanned

    @property
    def known_length(self) -> tuple[int, int]:
        """Its descriptor, and how long it was when it was read last."""
        return self.descriptor, self._scanned

    def cursor(self) -> str:
        """Return the cursor to save."""
        return encode_cursor(self.identity, self.offset, self.before)

    def go_to(self, offset: int, *, is_live: bool) -> None:
        """Read on from here; unless live, what is there now counts as written before we came."""
        self._move(offset)
        self._has_head = self.before[-1:] in (b"", b"\n", b"\0")
        self._live_from = 0 if is_live else os.fstat(self.descriptor).st_size

    def go_to_end(self) -> None:
        """Read what is written from now on; a line that is just being written is read whole."""
        size = os.fstat(self.descriptor).st_size
        begin = max(0, size - self._max_line_bytes)
        newline = os.pread(self.descriptor, size - begin, begin).rfind(b"\n")
        self._has_head = newline >= 0 or begin == 0
        self._move(begin + newline + 1 if self._has_head else size)

    def restart(self) -> None:
        """Read it from its beginning, as it was emptied; all of it was written while we were reading."""
        self.at_end = False
        self._has_head = True
        self._live_from = 0
        self._move(0)

    def doubt(self) -> None:
        """Have the next `check_writer` check again: owner or permissions may have changed."""
        self._checked_s = None

    def check_writer(self, now_s: float, known: dict[str, Grants]) -> None:
        """Look who can write it, if that was not done for a minute; see `file_writer` for `known`."""
        if self._checked_s is None or now_s - self._checked_s >= _CHECK_S:
            self._checked_s = now_s
            self.writer = file_writer(self.path, self.descriptor, known)
            self.reason = ordinary_reason(self.writer)

    def read(self, limit_bytes: int) -> tuple[list[Run], bool] | None:
        """Return the whole lines among the next bytes, and whether they are live; None: the file was emptied.

        More than `limit_bytes` may be read where a line is longer. Raises OSError where reading fails.
        """
        if (offset := self.repeats.skip(self.descriptor, self.offset)) != self.offset:
            self._move(offset)
        taken = self._read(max(limit_bytes, self._max_line_bytes + 1))
        if taken is None:
            return None
        if self.took_bytes:
            self.read_at_s = time.time()
        runs, is_live = taken
        return runs, is_live and not self.repeats.after_s

    def _read(self, limit_bytes: int) -> tuple[list[Run], bool] | None:
        is_long = not self._has_head or self._scanned - self.offset > self._max_line_bytes
        return self._read_long(limit_bytes) if is_long else self._read_lines(limit_bytes)

    def _read_lines(self, limit_bytes: int) -> tuple[list[Run], bool] | None:
        """Read from the offset on."""
        was_live = self._scanned >= self._live_from
        if not was_live:
            limit_bytes = min(limit_bytes, self._live_from - self.offset)
        overlap = len(self.before)
        data = os.pread(self.descriptor, overlap + limit_bytes, self.offset - overlap)
        if not data.startswith(self.before):
            return None
        self.took_bytes = len(data) - overlap
        self.at_end = self.took_bytes < limit_bytes
        self._scanned = self.offset - overlap + len(data)
        end = data.rfind(b"\n", overlap) + 1
        if end:
            self.offset += end - overlap
            self.has_begun = True
            self.before = data[max(0, end - MARK_BYTES) : end]
        else:
            end = overlap
        if data.startswith(b"\0", end):
            self._skip_hole(len(data) - end - len(data[end:].lstrip(b"\0")))
        return split_lines(data[overlap:end], self._max_line_bytes), was_live

    def _read_long(self, limit_bytes: int) -> tuple[list[Run], bool] | None:
        """Read on in a line that is too long already, up to its end."""
        overlap = len(self.before)
        data = os.pread(self.descriptor, limit_bytes, self._scanned)
        if os.pread(self.descriptor, overlap, self.offset - overlap) != self.before or (
            not data and os.fstat(self.descriptor).st_size < self._scanned
        ):
            return None
        self.took_bytes = len(data)
        self.at_end = self.took_bytes < limit_bytes
        newline = data.find(b"\n")
        if newline < 0:
            self._scanned += len(data)
            return [], True
        begin = max(self.offset, self._scanned + newline - END_BYTES)
        last = os.pread(self.descriptor, self._scanned + newline - begin, begin)
        head = cut(os.pread(self.descriptor, self._max_line_bytes, self.offset), self._max_line_bytes, last)
        runs = [Run(head, is_cut=True)] if self._has_head else []
        end = self._scanned + newline + 1
        self._has_head = True
        self.at_end = False
        self._move(end)
        return runs, end > self._live_from

    def _skip_hole(self, length: int) -> None:
        """Go over zeros at the beginning of a line, over the whole of a hole at once."""
        end, scanned = self.offset + length, self._scanned
        if end == scanned and not self.at_end:
            end = max(end, self._end_of_hole(end))
        self._move(end)
        self._scanned = max(scanned, end)

    def _end_of_hole(self, position: int) -> int:
        size = os.fstat(self.descriptor).st_size  # before seeking: what is written meanwhile is behind it
        try:
            return os.lseek(self.descriptor, position, os.SEEK_DATA)
        except OSError as error:
            return size if error.errno == errno.ENXIO else position

    def _status(self) -> os.stat_result | None:
        try:
            return os.fstat(self.descriptor)
        except OSError:  # of a network file system
            return None

    def _move(self, offset: int) -> None:
        self.offset = self._scanned = offset
        self.has_begun = self.has_begun or offset > 0
        begin = max(0, offset - MARK_BYTES)
        self.before = os.pread(self.descriptor, offset - begin, begin)
