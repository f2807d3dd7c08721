"""The store: state that is kept across restarts, in one SQLite file.

It contains the bans in force, the history of offences, the cursors of the sources and the networks allowed by an
operator. Nothing here is on the data path: changes are collected and written in batches.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from monitor.model.alerts import Strength
from monitor.model.errors import MalformedRecord, TemporaryError
from monitor.state import rows, salvage
from monitor.state.changes import StateChanges
from monitor.state.schema import Opened, connect, explained, open_database, roll_back
from monitor.state.store_reader import DamagedFile, StoreReader
from monitor.state.tables import TABLES, VERSION, checked, matches

FILE_NAME = "nodewarden.db"
"""The name of the file in the state directory."""
_PURGE_ROWS = 5000

_T = TypeVar("_T")


class Store(StoreReader):
    """The open file. Reads and writes use separate connections, so that neither waits for the other.

    Every method may be called from any thread. After a TemporaryError, whose text says what to do, nothing has changed.
    """

    def __init__(self, path: Path, opened: Opened) -> None:
        """Take the result of `open_database`; use `Store.open`."""
        super().__init__(path, are_bans_checked=opened.are_bans_checked)
        self.is_new = opened.is_new
        """Whether the file was just created, so that it has no earlier state."""
        self._opening_notices = opened.notices
        self._writer = opened.connection
        self._write_lock = threading.Lock()
        self._refused = 0
        found = path.stat()
        self._identity = found.st_dev, found.st_ino
        self.history_rows: int = self._reader.execute("SELECT count(*) FROM offences").fetchone()[0]
        """Entries of the history."""
        self.removed_early = 0
        """Entries that the last purge with more than it keeps removed before they were old."""

    @classmethod
    def open(cls, path: Path, *, checks_bans: bool = True) -> "Store":
        """Open the file at `path`; TemporaryError if that fails.

        A missing file is created. A damaged file, or one of another program or a newer schema, is renamed, never
        deleted, and a new one is created with all rows that could be saved; `notices` reports it. Without
        `checks_bans`, checksums of bans are compared when bans are read first: that may then raise DamagedFile.
        """
        opened = open_database(path, checks_bans=checks_bans)
        try:
            with explained(path):
                return cls(path, opened)
        except TemporaryError:
            opened.connection.close()
            raise

    @property
    def notices(self) -> list[str]:
        """Notices for the operator, one sentence each."""
        notices = list(self._opening_notices)
        notices += [
            f"{count} rows of {table} in {self.path} are invalid and were skipped"
            for table, count in self._unreadable.items()
        ]
        if self._refused:
            notices.append(f"{self._refused} changes were invalid and were not saved; please report this")
        return notices

    def write(self, changes: StateChanges, *, durable: bool = False) -> None:
        """Write all changes or, with a TemporaryError, none.

        They immediately survive the end of the daemon; without `durable`, a power failure may lose the last seconds.
        Writing twice is harmless except for offences and tallies, which are then stored twice.
        """
        with self._write_lock, explained(self.path):
            self.check_identity()
            refused = self._refused
            if durable:
                self._writer.execute("PRAGMA synchronous = FULL")
            try:
                with self._transaction():
                    if durable:
                        # Changes one page, so that there is a commit that syncs the WAL even if all changes were
                        # written before.
                        self._writer.execute(f"PRAGMA user_version = {VERSION}")
                    self._apply(changes)
                self.history_rows += len(changes.offences) + len(changes.forgeable)
            except BaseException:
                self._refused = refused
                raise
            finally:
                if durable:
                    self._writer.execute("PRAGMA synchronous = NORMAL")

    def purge(self, before_s: float, max_offences: int) -> int:
        """Delete offences before `before_s`, and the oldest beyond `max_offences`; return how many.

        Of more than `max_offences` those that anyone can forge go first: they must not end the history of others.
        Tallies go by time only: their number is bounded by the hours, the detectors and what can come of alerts.
        """
        with self._write_lock, explained(self.path), self._transaction():
            self._writer.execute("DELETE FROM tallies WHERE hour < ?", (int(before_s // 3600),))
        purged = self._delete("WHERE time_s < ? ORDER BY time_s LIMIT ?", lambda: (before_s, _PURGE_ROWS))
        early = 0
        for which in (f"WHERE strength = '{Strength.SPOOFABLE}'", ""):
            early += self._delete(f"{which} ORDER BY time_s, id LIMIT ?", lambda: (self._excess(max_offences),))
        self.removed_early = early
        self.history_rows = self._count_offences()
        return purged + early

    def copy(self) -> None:
        """Replace the second copy by the content of now; it takes a second for 100,000 bans. Others need not wait.

        TemporaryError if that fails, DamagedFile if rows do not match their checksums: then reopen the file.
        """
        with explained(self.path), closing(connect(self.path)) as connection:
            if table := salvage.make_copy(self.path, connection):
                raise DamagedFile(f"{self.path} is damaged: rows of {table} do not match their checksums")

    def close(self) -> None:
        """Move the WAL to the main file and close; never raises: a WAL that remains is read at the next start."""
        with self._read_lock:
            self._reader.close()
        with self._write_lock:
            try:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                pass  # the WAL stays next to the main file, with all that was written
            finally:
                self._writer.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            roll_back(self._writer)
            raise

    def _apply(self, changes: StateChanges) -> None:
        if changes.is_cleared:
            self._writer.execute("DELETE FROM bans")
        # In the order of the key, adjacent rows share pages: 100,000 take 0.4 s instead of 0.6 s.
        self._put("bans", sorted(self._encode(rows.ban_row, changes.bans.values())))
        self._writer.executemany(
            "DELETE FROM bans WHERE address = ? AND prefix_length = ? AND ports = ? AND strength = ? AND origin = ? "
            "AND detector = ?",
            sorted(self._encode(rows.claim_key_row, changes.all_ended())),
        )
        self._put("offences", self._encode(rows.offence_row, (*changes.offences, *changes.forgeable)))
        self._add_tallies(changes)
        self._put("cursors", self._encode(rows.cursor_row, changes.cursors.items()))
        self._put("windows", self._encode(rows.window_row, changes.windows.items()))
        self._put("allowed", self._encode(rows.allowed_row, (a for a in changes.allowed.values() if a is not None)))
        self._writer.executemany(
            "DELETE FROM allowed WHERE address = ? AND prefix_length = ?",
            self._encode(rows.network_row, (network for network, a in changes.allowed.items() if a is None)),
        )

    def _add_tallies(self, changes: StateChanges) -> None:
        """Add to what is stored; a row that does not match its checksum is replaced."""
        for row in self._encode(rows.tally_row, changes.tallies.items()):
            *key, count = row
            found = self._writer.execute(
                f"SELECT {TABLES['tallies']}, row_check FROM tallies "  # noqa: S608 - constants
                "WHERE hour = ? AND detector = ? AND strength = ? AND outcome = ?",
                key,
            ).fetchone()
            before = found[4] if found and matches(found) else 0
            self._put("tallies", ((*key, before + count),))

    def _put(self, table: str, values: Iterable[rows.Row]) -> None:
        columns = f"{TABLES[table]}, row_check"
        marks = ", ".join("?" * len(columns.split(",")))
        statement = f"REPLACE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        self._writer.executemany(statement, map(checked, values))

    def _encode(self, encode: Callable[[_T], rows.Row], items: Iterable[_T]) -> Iterator[rows.Row]:
        """Yield rows; an invalid one is left out, because it would prevent saving all others forever."""
        for item in items:
            try:
                yield encode(item)
            except MalformedRecord:
                self._refused += 1

    def _delete(self, which: str, parameters: Callable[[], tuple[float, ...]]) -> int:
        """Delete offences a few thousand at a time, so that changes do not have to wait."""
        total = 0
        while True:
            with self._write_lock, explained(self.path), self._transaction():
                statement = f"DELETE FROM offences WHERE id IN (SELECT id FROM offences {which})"  # noqa: S608
                deleted = self._writer.execute(statement, parameters()).rowcount
            if deleted <= 0:
                return total
            total += deleted

    def _excess(self, max_offences: int) -> int:
        return max(0, min(_PURGE_ROWS, self._count_offences() - max_offences))

    def _count_offences(self) -> int:
        with explained(self.path):
            count: int = self._writer.execute("SELECT count(*) FROM offences").fetchone()[0]
        return count

    def check_identity(self) -> None:
        """Refuse a file that was removed or replaced: what is written would be lost. TemporaryError."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise TemporaryError(f"{self.path} was removed while in use: it is created again") from None
        except OSError as error:
            raise TemporaryError(f"{self.path} cannot be reached: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise TemporaryError(f"{self.path} was replaced while in use: the new one is opened")
