"""Reader of systemd's journal, by libsystemd: follows it across rotation, continues at a saved cursor."""

import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from monitor.files.changes import FileChanges
from monitor.model.errors import PermanentError, TemporaryError
from monitor.model.logs import JOURNAL, LogBlock
from monitor.model.writers import JournalWriter, ordinary_reason
from monitor.sources.journal.files import journal_files, machine_id, missing_roots, not_open, open_reader
from monitor.sources.journal.format import MIN_LINE_BYTES, format_line, journal_writer, written_s
from monitor.sources.journal.match import Entry, Group, Matcher

_MAX_NAMED = 3
_MAX_NAME_BYTES = 64
_CLOCK_SLACK_US = 1_000_000  # between journald's stamp on an entry and the entry's appearance

# SD_MESSAGE_JOURNAL_DROPPED: journald says how many entries of a service its rate limit refused
_DROPPED = b"a596d6fe7bfa4994828e72309e95d61e"
_DRIVER = b"driver"
_DROPPED_GROUP: Group = (("MESSAGE_ID", frozenset((_DROPPED,))), ("_TRANSPORT", frozenset((_DRIVER,))))


_MAX_GROUPS = 64
"""Of one read: with more writers at once, the read ends early, and the next one continues."""

_Groups: TypeAlias = dict[tuple[tuple[str, ...], JournalWriter, bool, bool], tuple[list[bytes], list[float]]]
"""Lines and times, by detectors, writer, whether they were cut, and liveness."""


class JournalStats(msgspec.Struct):
    """What the source counted; all totals but `unreadable_files`."""

    records: int = 0
    """Entries read."""
    lost: int = 0
    """Gaps: the entry at the saved cursor was gone, and entries after it may be gone with it. How many is not known."""
    suppressed: int = 0
    """Entries that journald refused by its own rate limit, of any service."""
    malformed: int = 0
    """Entries that could not be read (damaged) or have no text."""
    untrusted: int = 0
    """Entries that others than the system can have written."""
    cut_lines: int = 0
    unreadable_files: int = 0
    """Journal files that could not be read when `problems` was last asked for."""


class Journal:
    """A source of log blocks. Wait until `fileno` is readable, `read` until `is_drained`, wait again.

    `loop.add_reader(source.fileno(), ...)` is enough, for reading only: `read` resets the descriptor. Where `timeout_s`
    is not None (network file systems do not notify of changes), call `read` after that time as well.

    Each block names the writer of its lines, and whether the lines had to be cut.
    """

    name = JOURNAL

    def __init__(
        self,
        matches: Mapping[str, Sequence[Sequence[str]]],
        *,
        cursor: str = "",
        directory: Path | None = None,
        max_line_bytes: int = 8192,
        stats: JournalStats | None = None,
    ) -> None:
        """Open the journal at its end, or after a saved `cursor`.

        `matches`: for each detector its lines of terms (see `journal_match`). `directory`: a directory of journal files
        instead of this machine's. Totals given as `stats` are counted on. ConfigError for a match that cannot be
        understood, PermanentError where there is no journal or it may not be read, with the remedy, TemporaryError
        where reading it failed.
        """
        if max_line_bytes < MIN_LINE_BYTES:
            raise ValueError(f"max_line_bytes is {max_line_bytes}, must be at least {MIN_LINE_BYTES}")
        self.stats = stats or JournalStats()
        self.notices: list[str] = []
        """What had to be said at the opening, a sentence each."""
        self.is_drained = False
        """Whether the last `read` took all there was."""
        self._matcher = Matcher(matches)
        self._max_line_bytes = max_line_bytes
        self._directory = directory
        self._machine_id = machine_id()
        self._caught_up = False
        self._anchor = ""
        self._missing = missing_roots(directory)
        self._appearing = FileChanges(self._missing)
        try:
            self._reader = open_reader(directory)
        except PermanentError:
            self._appearing.close()
            raise
        self.needs_polling = False
        """Whether the descriptor is silent about changes, as of the last `read`: see `timeout_s`."""
        self._waiter = select.epoll()
        self._waiter.register(self._appearing.fileno(), select.EPOLLIN)
        # Of compressed fields no more is unpacked; a little more than a line, so that cuts are seen
        self._reader.data_threshold = max_line_bytes + _MAX_NAME_BYTES
        try:
            self._waiter.register(self._reader.fileno(), select.EPOLLIN)  # from here on, changes are noticed
            self._opened_us = time.time_ns() // 1000
            self._seen_us = self._opened_us - _CLOCK_SLACK_US
            self._entry_cursor = self._start(cursor)
            self.needs_polling = self.timeout_s is not None
        except OSError as error:
            self.close()
            raise TemporaryError(f"cannot read the journal: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor to wait on; readable when the journal changed."""
        return self._waiter.fileno()

    @property
    def timeout_s(self) -> float | None:
        """Seconds after which to `read` even if the descriptor is silent; None: only the descriptor counts."""
        timeout_ms = self._reader.get_timeout_ms()
        return None if timeout_ms < 0 else timeout_ms / 1000

    @property
    def cursor(self) -> str:
        """The cursor to save: last entry handed out, and the time up to which all was read. Opaque; empty: none yet."""
        return f"{self._entry_cursor} {self._seen_us}" if self._entry_cursor else ""

    @property
    def problems(self) -> list[str]:
        """What is wrong with the journal just now, a sentence each; checks every file, so not for each batch."""
        files = journal_files(self._directory)
        unreadable = not_open(files)
        self.stats.unreadable_files = len(unreadable)
        if not unreadable:
            return []
        names = ", ".join(str(path) for path in unreadable[:_MAX_NAMED])
        more = f" and {len(unreadable) - _MAX_NAMED} more" if len(unreadable) > _MAX_NAMED else ""
        problem = (
            f"{len(unreadable)} of {len(files)} journal files cannot be read (damaged, not permitted, or too many open "
            f"files): {names}{more}; the others are read; see journalctl --verify"
        )
        return [problem]

    def close(self) -> None:
        """Close the journal and all its files."""
        self._waiter.close()
        self._appearing.close()
        self._reader.close()

    def read(self, limit: int = 1000) -> list[LogBlock]:
        """Return at most `limit` waiting entries, in blocks of what belongs together.

        A block holds lines of one writer for the same detectors, in the journal's order; `times_s` has the time of
        each. TemporaryError if the journal cannot be read any more, or moved: open it again, at `cursor`.
        """
        self._process()
        groups: _Groups = {}
        self.is_drained = False
        now_us = time.time_ns() // 1000
        for _ in range(limit):
            if len(groups) >= _MAX_GROUPS or not self._advance(is_first=not groups):
                break
            try:
                self._take(groups)
            except (OSError, ValueError):  # a damaged entry; libsystemd continues after it
                self.stats.malformed += 1
        if self.is_drained:
            self._caught_up = True
            self._seen_us = now_us - _CLOCK_SLACK_US
        return [
            LogBlock(
                log=self.name,
                detectors=detectors,
                data=b"".join(lines),
                read_s=now_us / 1e6,
                times_s=tuple(times_s),
                is_live=is_live,
                writer=writer,
                is_cut=is_cut,
            )
            for (detectors, writer, is_cut, is_live), (lines, times_s) in groups.items()
        ]

    def _process(self) -> None:
        """Take notice of what changed, which also silences the descriptor and closes files that are gone."""
        try:
            self._reader.process()
        except OSError as error:
            raise TemporaryError(f"cannot follow the journal: {error.strerror}") from error
        self.needs_polling = self.timeout_s is not None  # a file may have come that is on another file system
        if self._appearing.drain() and any(root.exists() for root in self._missing):
            raise TemporaryError("the journal may have moved to a directory that is new: open it again")

    def _advance(self, *, is_first: bool) -> bool:
        """Go to the next entry that was not handed out; False at the end, and where what was read must go out first."""
        # The public get_next decodes every field: half the speed.
        try:
            found = self._reader._next()
            if found and self._anchor:
                if self._reader.test_cursor(self._anchor):
                    found = self._reader._next()
                self._anchor = ""
        except OSError as error:
            if is_first:
                raise TemporaryError(f"cannot read the journal: {error.strerror}") from error
            return False
        self.is_drained = not found
        return bool(found)

    def _take(self, groups: _Groups) -> None:
        """Add the current entry to the group it belongs to."""
        entry: Entry = self._reader._get_all()
        received_us: int = self._reader._get_realtime()
        self._entry_cursor = self._reader._get_cursor()
        self.stats.records += 1
        detectors = self._matcher.detectors(entry)
        if entry.get("MESSAGE_ID") == _DROPPED and entry.get("_TRANSPORT") == _DRIVER:
            self._count_suppressed(entry)
        if not detectors:
            return
        formatted = format_line(entry, self._max_line_bytes)
        if formatted is None:
            self.stats.malformed += 1
            return
        line, is_cut = formatted
        writer = journal_writer(entry, self._machine_id)
        is_ordinary = is_cut or bool(ordinary_reason(writer))
        self.stats.cut_lines += is_cut
        self.stats.untrusted += is_ordinary
        is_live = self._caught_up or received_us >= self._opened_us
        lines, times_s = groups.setdefault((detectors, writer, is_cut, is_live), ([], []))
        lines.append(line)
        times_s.append(written_s(entry, received_us, is_believed=not is_ordinary))

    def _count_suppressed(self, entry: Entry) -> None:
        count = entry.get("N_DROPPED")
        self.stats.suppressed += int(count) if isinstance(count, bytes) and count.isdigit() else 1

    def _start(self, cursor: str) -> str:
        """Seek to where reading starts, add the matches, and return the cursor of the entry before, empty if none.

        It is looked up among all entries: seeking to the tail of a journal in which nothing matches leads anywhere
        (systemd issues 9934 and 25369).
        """
        saved, _, seen = cursor.partition(" ")
        entry_cursor = self._find(saved, seen) if saved else self._tail()
        for group in (*self._matcher.groups, _DROPPED_GROUP) if self._matcher.groups else ():
            self._reader.add_disjunction()
            for field, values in group:
                for value in sorted(values):
                    self._reader.add_match(field.encode() + b"=" + value)
        if entry_cursor:
            self._reader.seek_cursor(entry_cursor)
        else:
            self._reader.seek_head()
        self._anchor = entry_cursor
        return entry_cursor

    def _tail(self) -> str:
        """Return the cursor of the newest entry, empty if there is none."""
        self._reader.seek_tail()
        return str(self._reader._get_cursor()) if self._reader._previous() else ""

    def _find(self, saved: str, seen: str) -> str:
        """Return the saved cursor, or the one to continue at instead; reports and counts what may be lost."""
        try:
            seen_us = int(seen or 0)
            self._reader.seek_cursor(saved)
            found = self._reader._next()
        except (OSError, ValueError):
            self._report_gap("the saved journal cursor is not valid; reading starts at the newest entry")
            return self._tail()
        if not found:
            self._report_gap("the saved journal cursor is gone, and no entry is after it; reading starts at the newest")
            return self._tail()
        if not self._reader.test_cursor(saved) and self._reader._get_realtime() > seen_us:
            self._report_gap("the saved journal cursor is gone; reading continues at the oldest entry after it")
        self._seen_us = seen_us
        return saved

    def _report_gap(self, notice: str) -> None:
        self.stats.lost += 1
        self.notices.append(notice)
