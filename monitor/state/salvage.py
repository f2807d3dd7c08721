"""The second copy of the store, and what can be read of a damaged file: whole rows with a matching checksum, no others.

A damaged page costs the rows on it. They are read from the copy, which is never older than the last minutes; where all
rows of a table can be read, the copy is not asked, since it may still have what was removed.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from monitor.model.errors import MalformedRecord
from monitor.state.tables import KEYS, SCHEMA, TABLES, VERSION, Row, added_in, checked, columns_in, matches, unchecked

_MAX_ROWS = 2_000_000
"""Rows read of one table: damaged pages may lead to others again and again."""
_UNREADABLE = (sqlite3.Error, ValueError, MemoryError)
"""What reading a damaged file raises: ValueError if a message of SQLite quotes damaged text."""
_FILE_MODE = 0o640


class Salvaged(NamedTuple):
    """A new file with the rows that were saved, and how many of them each source gave."""

    path: Path
    from_file: int
    from_copy: int

    def __str__(self) -> str:
        """Return the numbers, for people."""
        copied = f" and {self.from_copy} of its second copy" if self.from_copy else ""
        return f"{self.from_file} rows{copied}"


def copy_path(path: Path) -> Path:
    """Return where the second copy of a store is."""
    return path.with_name(f"{path.name}.copy")


def damaged_table(connection: sqlite3.Connection, tables: tuple[str, ...], version: int = VERSION) -> str:
    """Return the first of these tables with a row that does not match its checksum; empty if there is none.

    `version` is that of the file's schema, which has checksums.
    """
    for table in tables:
        query = f"SELECT {columns_in(version, table)}, row_check FROM {table}"  # noqa: S608 - constants
        if not _all_match(connection, query):
            return table
    return ""


def _all_match(connection: sqlite3.Connection, query: str) -> bool:
    """Whether the rows of a query match their checksums; text that is no UTF-8 matches none."""
    usual, connection.text_factory = connection.text_factory, str  # twice as fast as what reads any text
    try:
        return all(map(matches, connection.execute(query)))
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
        return False  # Python's module could not decode a text
    finally:
        connection.text_factory = usual


def make_copy(path: Path, connection: sqlite3.Connection) -> str:
    """Replace the second copy of the store at `path`, read through `connection`; return the damaged table instead.

    The old copy stays until the new one is on the disk, and if a row does not match its checksum. Takes a second for
    100,000 bans. Raises sqlite3.Error and OSError.
    """
    copy = copy_path(path)
    new = copy.with_name(f"{copy.name}.new")
    _make_empty(new)
    connection.execute("VACUUM INTO ?", (str(new),))
    with closing(_read_only(new)) as written:
        if table := damaged_table(written, tuple(TABLES)):
            new.unlink()
            return table
    _sync(new)
    new.replace(copy)
    _sync(path.parent)
    return ""


def salvage(path: Path, damaged: sqlite3.Connection) -> Salvaged | None:
    """Write all rows that can be saved of the store at `path` to a new file beside it; None if there are none.

    `damaged` is a connection to the file. Raises sqlite3.Error and OSError if the new file cannot be written.
    """
    target = path.with_name(f"{path.name}.salvaged")
    _make_empty(target)
    counts = [0, 0]
    with closing(sqlite3.connect(target, isolation_level=None)) as new:
        for statement in SCHEMA:
            new.execute(statement)
        new.execute("BEGIN")
        copy = _open_copy(path)
        for table in TABLES:
            counts[0] += _insert(new, table, _rows(damaged, table))
            if copy is not None and not _is_whole(damaged, table):
                counts[1] += _insert(new, table, _rows(copy, table))
        if copy is not None:
            copy.close()
        new.execute("COMMIT")
    if not any(counts):
        target.unlink()
        return None
    _sync(target)
    return Salvaged(target, *counts)


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yield the rows that can be read, with their keys; from both ends, since reading stops at a damaged page."""
    version = _version(connection)
    columns, added = _keyed(table, columns_in(version, table)), added_in(version, table)
    missing = {*TABLES[table].split(", ")} - {*columns.split(", ")}
    for order in ("ASC", "DESC"):
        count = 0
        keys = ", ".join(f"{key} {order}" for key in KEYS[table].split(", ") if key not in missing)
        query = f"SELECT {columns}, row_check FROM {table} ORDER BY {keys}"  # noqa: S608
        with suppress(*_UNREADABLE):
            for row in connection.execute(query):
                if (count := count + 1) > _MAX_ROWS:
                    break
                with suppress(MalformedRecord):
                    yield _verified(table, row, added)
            else:
                return


def _version(connection: sqlite3.Connection) -> int:
    """Return the schema of a file; a copy may be older than the file that it is of."""
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except _UNREADABLE:
        return VERSION


def _keyed(table: str, columns: str) -> str:
    """Return the columns to save: offences keep their number, so that none is saved twice."""
    return f"id, {columns}" if table == "offences" else columns


def _verified(table: str, row: Row, added: Row) -> Row:
    """Return a row of this schema with its checksum; `added` completes one of an older schema. MalformedRecord."""
    if table == "offences":
        return row[0], *checked((*unchecked(row[1:]), *added))
    return checked((*unchecked(row), *added))


def _insert(new: sqlite3.Connection, table: str, rows: Iterator[Row]) -> int:
    """Add the rows whose key is not there yet; return how many."""
    columns = _keyed(table, TABLES[table])
    marks = ", ".join("?" * (len(columns.split(",")) + 1))
    before = new.total_changes
    statement = f"INSERT OR IGNORE INTO {table} ({columns}, row_check) VALUES ({marks})"  # noqa: S608
    new.executemany(statement, rows)
    return new.total_changes - before


def _is_whole(connection: sqlite3.Connection, table: str) -> bool:
    """Whether all rows of a table can be read, and are as they were written."""
    try:
        is_sound = connection.execute(f"PRAGMA integrity_check({table})").fetchone()[0] == "ok"
        return is_sound and not damaged_table(connection, (table,))
    except _UNREADABLE:
        return False


def _open_copy(path: Path) -> sqlite3.Connection | None:
    return _read_only(copy_path(path)) if copy_path(path).is_file() else None


def _read_only(path: Path) -> sqlite3.Connection:
    """Open a file that nobody changes, without files beside it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _make_empty(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE))


def _sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)  # the unit allows no other
    finally:
        os.close(descriptor)
