"""The file of the store: opening it, and replacing a file that cannot be used by what can be read of it."""

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
from monitor.state import salvage
from monitor.state.tables import APPLICATION_ID, CHECKED_SINCE, SCHEMA, VERSION, columns_of, teach, upgrade_from

_VERSIONS_AT = 18
"""Where the header of a database names the versions of its format, a byte each for writing and reading."""
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
    sqlite3.SQLITE_BUSY: "{path} is locked by another program: stop it (`fuser -v {path}` shows it)",
    sqlite3.SQLITE_IOERR: "I/O error on {path}: check free space, and the kernel log for disk errors",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: it is set aside when it is reopened",
    sqlite3.SQLITE_NOTADB: "{path} is damaged: it is set aside when it is reopened",
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
    """A usable file: the connection for writing, whether the file was just created, notices, what was checked."""

    connection: sqlite3.Connection
    is_new: bool
    notices: list[str]
    are_bans_checked: bool = True
    """Whether all bans were compared with their checksums."""


class _Fault(NamedTuple):
    word: str
    sentence: str


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Convert errors of SQLite and the file system to a TemporaryError that says what to do."""
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


def open_database(path: Path, *, checks_bans: bool = True) -> Opened:
    """Open the file; create it if it is missing. TemporaryError.

    Without `checks_bans`, bans of the current schema are not compared with their checksums: who reads them does it.

    A file that is damaged, or of another program or a newer schema, is set aside; the new one gets all rows that can
    be read of it and, for tables that are damaged, those of the second copy.
    """
    with explained(path):
        is_made = _make_file(path)
        connection = connect(path)
        notices = []
        try:
            fault = _fault(connection, checks_bans=checks_bans)
            if fault is None and not is_made and _is_format_unknown(path):
                fault = _Fault("corrupt", "is damaged (its header names an unknown format)")
            if fault is None and not is_made and salvage.copy_path(path).exists() and _is_empty(connection):
                fault = _Fault("corrupt", "is empty")
            if fault is not None:
                notices.append(_replace(path, connection, fault))
                connection.close()
                connection = connect(path)
            is_new = _is_empty(connection)
            version = VERSION if is_new else _pragma(connection, "user_version")
            _prepare(connection, SCHEMA if is_new else upgrade_from(version) if version < VERSION else ())
        except BaseException:
            connection.close()
            raise
        return Opened(connection, is_new, notices, are_bans_checked=checks_bans or version < VERSION)


def _replace(path: Path, connection: sqlite3.Connection, fault: _Fault) -> str:
    """Put what can be saved of a faulty file in its place; return the notice for the operator."""
    salvaged = salvage.salvage(path, connection)
    kept = _set_aside(path, fault)
    if salvaged is None:
        _make_file(path)
        return f"{path} {fault.sentence}: it was set aside as {kept.name}, and a new one was created"
    salvaged.path.rename(path)
    return f"{path} {fault.sentence}: it was set aside as {kept.name}, and {salvaged} were saved of it"


tolerant = functools.partial(str, encoding="utf-8", errors="replace")
"""Reads text that may be damaged: then it no longer matches the checksum of its row."""


def connect(path: Path) -> sqlite3.Connection:
    """Open one connection to an existing file, in autocommit mode; threads may share it, one at a time."""
    # By URI: otherwise a file removed in the meantime would be created again with the wrong mode.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = tolerant
    teach(connection)
    return connection


def _make_file(path: Path) -> bool:
    """Create the directory (0750) and an empty file (0640) if they are missing; return whether the file was."""
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TemporaryError(f"{path} is not a regular file: move it elsewhere") from None
        return False
    try:
        os.fchmod(descriptor, 0o640)
    finally:
        os.close(descriptor)
    return True


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file has no tables yet, also because creating them was interrupted."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return not (tables or _pragma(connection, "application_id") or _pragma(connection, "user_version"))


def _is_format_unknown(path: Path) -> bool:
    """Whether the header names versions for which SQLite reads the file and refuses to write it (fileformat2.html)."""
    with path.open("rb") as file:
        versions = file.read(_VERSIONS_AT + 2)[_VERSIONS_AT:]
    return not set(versions) <= {1, 2}


def _fault(connection: sqlite3.Connection, *, checks_bans: bool) -> _Fault | None:
    """Return why the file cannot be used, None if it can; the file is not changed."""
    try:
        if _is_empty(connection):
            return None
        if _pragma(connection, "application_id") != APPLICATION_ID:
            return _Fault("foreign", "belongs to another program")
        version = _pragma(connection, "user_version")
        if version > VERSION:
            return _Fault("newer", f"is from a newer nodewarden (schema {version}, the newest supported is {VERSION})")
        if version < 1:
            return _Fault("corrupt", f"is damaged (schema {version})")
        checked_tables = ("bans", "allowed") if checks_bans or version < VERSION else ("allowed",)
        if damage := _damage(connection, version, checked_tables):
            return _Fault("corrupt", f"is damaged ({damage})")
    except UnicodeDecodeError:  # SQLite's message quotes a damaged schema
        return _Fault("corrupt", "is damaged (its schema is not text)")
    except sqlite3.Error as error:
        if _primary_code(error) in _DAMAGED:
            return _Fault("corrupt", f"is damaged ({error})")
        raise
    return None


def _damage(connection: sqlite3.Connection, version: int, checked_tables: tuple[str, ...]) -> str:
    """Return what is damaged in a file of this schema, empty if nothing is; rows are checked of some tables."""
    # Not quick_check: it takes a seventh of the time, but accepts damaged indexes, on which deletions fail.
    finding = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if finding != "ok":
        return " ".join(finding.split())
    for table, columns in columns_of(version).items():
        connection.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 - constants
    connection.execute("SELECT id FROM offences LIMIT 0")
    damaged = salvage.damaged_table(connection, checked_tables, version) if version >= CHECKED_SINCE else ""
    return f"rows of {damaged} do not match their checksums" if damaged else ""


def _set_aside(path: Path, fault: _Fault) -> Path:
    """Rename the file and its WAL files to an unused name; return the name."""
    others = [
        other
        for word in _WORDS
        for other in path.parent.glob(f"{path.name}.{word}-*")
        if not other.name.endswith(("-wal", "-shm"))
    ]
    if len(others) >= _MAX_SET_ASIDE:
        raise TemporaryError(
            f"{path} {fault.sentence}, and {len(others)} files were set aside before: check and remove them"
        )
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = (f"{path.name}.{fault.word}-{stamp}{f'.{n}' if n else ''}" for n in itertools.count())
    kept = next(name for name in names if not any(path.with_name(name + suffix).exists() for suffix in _ALL_SUFFIXES))
    # The main file last: an interruption here is detected at the next start, and no WAL is left without its main file,
    # which SQLite would delete. The connection is still open for the same reason: closing it would delete the WAL too.
    for suffix in _ALL_SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(kept + suffix))
    return path.with_name(kept)


def _prepare(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Prepare the connection for writing, and create or upgrade the tables, all or nothing."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    connection.execute("BEGIN IMMEDIATE")  # fails here if the file cannot be written
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Roll the transaction back if SQLite has not done so; errors are ignored, the original one is reported."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _primary_code(error: sqlite3.Error) -> int:
    """Return the primary result code of SQLite; 0 for errors that Python's module raises itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
