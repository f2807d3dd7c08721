"""The store's file: its tables, how it is opened, and how a file that cannot be used is set aside."""

import errno
import functools
import itertools
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from monitor.model.errors import TemporaryError

APPLICATION_ID = 0x4E57_4152
"""What tells our files from other programs' (https://www.sqlite.org/pragma.html#pragma_application_id): "NWAR"."""
VERSION = 2
"""The schema's version, in the file's `user_version`."""

TABLES = {
    "bans": "address, prefix_length, strength, mode, since_s, until_s, detector, reason, origin",
    "offences": "time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence",
    "cursors": "source, boot_id, position",
    "allowed": "address, prefix_length, reason, added_s",
}
"""The columns of each table, in the order of its rows in `store_rows`."""

_BANS = """CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, strength TEXT NOT NULL, origin TEXT NOT NULL,
        detector TEXT NOT NULL, mode TEXT NOT NULL, since_s REAL NOT NULL, until_s REAL NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (address, prefix_length, strength, origin, detector)) STRICT, WITHOUT ROWID"""
"""One row a claim. Rows come in the order of the key, so the claims of one network follow each other.

The key's columns stand first: of others, integrity_check of SQLite 3.40 finds the wrong ones to be NULL.
"""

_SCHEMA = (
    _BANS,
    """CREATE TABLE offences (
        id INTEGER PRIMARY KEY, time_s REAL NOT NULL, address BLOB NOT NULL, prefix_length INTEGER NOT NULL,
        detector TEXT NOT NULL, strength TEXT NOT NULL, mode TEXT NOT NULL, bantime_s REAL NOT NULL,
        step INTEGER NOT NULL, reason TEXT NOT NULL, evidence BLOB NOT NULL) STRICT""",
    "CREATE INDEX offences_by_network ON offences (address, prefix_length, time_s)",
    "CREATE INDEX offences_by_time ON offences (time_s)",
    """CREATE TABLE cursors (
        source TEXT PRIMARY KEY, boot_id TEXT NOT NULL, position ANY NOT NULL) STRICT, WITHOUT ROWID""",
    """CREATE TABLE allowed (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, reason TEXT NOT NULL, added_s REAL NOT NULL,
        PRIMARY KEY (address, prefix_length)) STRICT, WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
_OLD_COLUMNS = "address, prefix_length, strength, mode, since_s, until_s, detector, reason"
_FROM_1 = (
    "ALTER TABLE bans RENAME TO bans_1",
    _BANS,
    f"""INSERT INTO bans ({_OLD_COLUMNS}, origin)
        SELECT {_OLD_COLUMNS}, CASE detector WHEN 'manual' THEN 'operator' ELSE 'detector' END FROM bans_1""",  # noqa: S608
    "DROP TABLE bans_1",
    f"PRAGMA user_version = {VERSION}",
)
"""From schema 1, which had one ban for each network and strength."""
_BUSY_S = 1.0
_WAL_KEPT_BYTES = 16 << 20
_MAX_SET_ASIDE = 10
_WORDS = ("corrupt", "foreign", "newer")
_ALL_SUFFIXES = ("-wal", "-shm", "")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT)

_CAUSES = {
    sqlite3.SQLITE_FULL: "disk full: free space for {path}",
    sqlite3.SQLITE_READONLY: "{path} is read-only: make the file, its directory and file system writable",
    sqlite3.SQLITE_PERM: "{path} is not accessible: make the file, its directory and file system writable",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened: make the file, its directory and file system writable",
    sqlite3.SQLITE_BUSY: "{path} is locked by another program: end it (`fuser -v {path}` names it)",
    sqlite3.SQLITE_IOERR: "I/O error on {path}: check free space and the kernel log for faults of the disk",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: it is set aside when it is opened again",
    sqlite3.SQLITE_NOTADB: "{path} is damaged: it is set aside when it is opened again",
}
_ERRNO_CAUSES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_PERM,
    errno.EPERM: sqlite3.SQLITE_PERM,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


class Opened(NamedTuple):
    """A usable file: the connection that writes to it, whether it was made just now, and what is to be told."""

    connection: sqlite3.Connection
    is_new: bool
    notices: list[str]


class _Fault(NamedTuple):
    word: str
    sentence: str


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a TemporaryError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        cause = _CAUSES.get(_primary_code(error), "{path} cannot be used")
        raise TemporaryError(f"{cause.format(path=path)} ({error})") from error
    except UnicodeDecodeError as error:  # SQLite's message quotes damaged text
        raise TemporaryError(_CAUSES[sqlite3.SQLITE_CORRUPT].format(path=path)) from error
    except OSError as error:
        cause = _CAUSES.get(_ERRNO_CAUSES.get(error.errno or 0, 0), "{path} cannot be used")
        raise TemporaryError(f"{cause.format(path=path)} ({error.strerror})") from error


def open_database(path: Path) -> Opened:
    """Open the file, made if it is missing, set aside and made anew if it cannot be used; TemporaryError."""
    with explained(path):
        _make_file(path)
        connection = connect(path)
        notices = []
        try:
            fault = _fault(connection)
            if fault is not None:
                kept = _set_aside(path, fault)
                notices.append(f"{path} {fault.sentence}: it was set aside as {kept.name}, a new one was made")
                connection.close()
                _make_file(path)
                connection = connect(path)
            is_new = _is_empty(connection)
            is_old = not is_new and _pragma(connection, "user_version") < VERSION
            _prepare(connection, _SCHEMA if is_new else _FROM_1 if is_old else ())
        except BaseException:
            connection.close()
            raise
        return Opened(connection, is_new, notices)


def connect(path: Path) -> sqlite3.Connection:
    """Open one connection to an existing file, in autocommit; it may move between threads, one at a time."""
    # By URI, or a file removed in the meantime would be made again with the wrong mode.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
    return connection


def _make_file(path: Path) -> None:
    """Make the directory (0750) and an empty file (0640) where they are missing."""
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TemporaryError(f"{path} is not a regular file: move it out of the way") from None
        return
    try:
        os.fchmod(descriptor, 0o640)
    finally:
        os.close(descriptor)


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nobody has put anything into the file yet; also one whose making was interrupted."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return not (tables or _pragma(connection, "application_id") or _pragma(connection, "user_version"))


def _fault(connection: sqlite3.Connection) -> _Fault | None:
    """Say why the file cannot be used, None if it can; nothing is changed in it."""
    try:
        if _is_empty(connection):
            return None
        if _pragma(connection, "application_id") != APPLICATION_ID:
            return _Fault("foreign", "belongs to another program")
        version = _pragma(connection, "user_version")
        if version > VERSION:
            return _Fault("newer", f"is of a newer nodewarden (schema {version}, this one knows {VERSION})")
        if version < 1:
            return _Fault("corrupt", f"is damaged (schema {version})")
        # Not quick_check: it takes a seventh of the time, and passes indexes that deleting then stumbles over for ever.
        finding = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if finding != "ok":
            return _Fault("corrupt", f"is damaged ({' '.join(finding.split())})")
        for table, columns in (TABLES if version == VERSION else TABLES | {"bans": _OLD_COLUMNS}).items():
            connection.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 - constants
        connection.execute("SELECT id FROM offences LIMIT 0")
    except UnicodeDecodeError:  # SQLite's message quotes a damaged schema
        return _Fault("corrupt", "is damaged (its schema is no text)")
    except sqlite3.Error as error:
        if _primary_code(error) in _DAMAGED:
            return _Fault("corrupt", f"is damaged ({error})")
        raise
    return None


def _set_aside(path: Path, fault: _Fault) -> Path:
    """Rename the file with what belongs to it to a free name; return that."""
    others = [
        other
        for word in _WORDS
        for other in path.parent.glob(f"{path.name}.{word}-*")
        if not other.name.endswith(("-wal", "-shm"))
    ]
    if len(others) >= _MAX_SET_ASIDE:
        raise TemporaryError(
            f"{path} {fault.sentence}, and {len(others)} files were set aside before: look at them, then remove them"
        )
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = (f"{path.name}.{fault.word}-{stamp}{f'.{n}' if n else ''}" for n in itertools.count())
    kept = next(name for name in names if not any(path.with_name(name + suffix).exists() for suffix in _ALL_SUFFIXES))
    # The main file last: what is interrupted here is found again at the next start, and no log is left behind
    # for SQLite to throw away. The connection is still open for the same reason: closing would do so, too.
    for suffix in _ALL_SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(kept + suffix))
    return path.with_name(kept)


def _prepare(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Set the connection up for writing, and make or upgrade the tables, all or nothing."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    connection.execute("BEGIN IMMEDIATE")  # fails here and now if the file cannot be written
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo the transaction if SQLite has not done so; the error that led here is the one to tell."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its extension; 0 for errors that Python's module raises itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
