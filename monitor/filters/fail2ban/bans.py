"""Reads the bans in force from a copy of fail2ban's SQLite database, which may hold anything.

The database is not trusted: it is copied first, nothing but plain reads of one table may run, and for a limited time.
"""

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.jails import LONGEST_BAN_S
from monitor.model.addresses import Network, parse_network

_MAX_FILE_BYTES = 1 << 30
_MAX_ROWS = 2_000_000
_MAX_BANS = 1_048_576
_MAX_VALUE_BYTES = 1 << 20
_READ_S = 30.0
_STEPS = 10_000
"""How many instructions of SQLite's machine run between two looks at the clock."""
_MAX_JAIL_CHARS = 64
_QUERY = "SELECT ip, jail, timeofban, bantime FROM bips"
_COLUMNS = frozenset({"ip", "jail", "timeofban", "bantime"})


class JailBan(NamedTuple):
    """A ban of fail2ban that is in force."""

    network: Network
    jails: tuple[str, ...]
    left_s: float
    """At most LONGEST_BAN_S, which also replaces an endless ban."""


class JailBans(msgspec.Struct):
    """What a database holds."""

    bans: list[JailBan] = []
    ended: int = 0
    """Rows whose ban has ended."""
    unreadable: int = 0
    """Rows that name no address, or no time."""
    is_cut: bool = False
    """Whether there were more rows than are read."""


def read_bans(database: Path, now_s: float) -> JailBans:
    """Return the bans in force at `now_s` (wall time), one for each address; FilterError if it cannot be read."""
    found: dict[Network, JailBan] = {}
    result = JailBans()
    with _copied(database) as copy, _opened(copy) as connection:
        try:
            for number, row in enumerate(connection.execute(_QUERY)):
                if number >= _MAX_ROWS or len(found) >= _MAX_BANS:
                    result.is_cut = True
                    break
                _take(row, found, result, now_s)
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise FilterError(f"{database} is not a readable database of fail2ban 0.11 or later: {error}") from error
    result.bans = sorted(found.values(), key=lambda ban: ban.network)
    return result


def _take(row: tuple[Any, ...], found: dict[Network, JailBan], result: JailBans, now_s: float) -> None:
    """Add one row; of several jails' bans of one address, the one that lasts longest counts."""
    address, jail, since_s, bantime_s = row
    try:
        network = parse_network(_text(address))
        left_s = _left_s(_number(since_s), _number(bantime_s), now_s)
        name = "".join(char if char.isprintable() else "?" for char in _text(jail)[:_MAX_JAIL_CHARS])
    except ValueError:
        result.unreadable += 1
        return
    if left_s <= 0:
        result.ended += 1
        return
    before = found.get(network)
    jails = tuple(dict.fromkeys((*before.jails, name))) if before else (name,)
    found[network] = JailBan(network, jails, max(left_s, before.left_s) if before else left_s)


def _left_s(since_s: float, bantime_s: float, now_s: float) -> float:
    """Return how long a ban lasts from now; one from the future cannot last longer than its ban time."""
    left_s = LONGEST_BAN_S if bantime_s < 0 else min(since_s, now_s) + bantime_s - now_s
    return min(left_s, LONGEST_BAN_S)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - of the row, not of the program
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise ValueError("not a time")
    return float(value)


@contextlib.contextmanager
def _copied(database: Path) -> Iterator[Path]:
    """Copy a database with its journal, so that fail2ban may go on writing; FilterError if that is not possible."""
    with tempfile.TemporaryDirectory(prefix="nodewarden-") as directory:
        copy = Path(directory) / "copy.sqlite3"
        try:
            _copy(database, copy)
            for suffix in ("-journal", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    _copy(database.with_name(database.name + suffix), copy.with_name(copy.name + suffix))
        except OSError as error:
            raise FilterError(f"{database} cannot be read: {error.strerror or error}") from error
        except ValueError:
            raise FilterError(f"{str(database)!r} is not a file name") from None
        yield copy


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > _MAX_FILE_BYTES:
            raise OSError(0, f"larger than {_MAX_FILE_BYTES >> 20} MiB")
        shutil.copyfileobj(file, copy)


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(database)
    try:
        connection.text_factory = lambda data: data.decode(errors="replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.set_progress_handler(_until(time.monotonic() + _READ_S), _STEPS)
        connection.set_authorizer(_authorize)
        yield connection
    finally:
        connection.close()


def _until(end_s: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > end_s


def _authorize(action: int, table: str | None, column: str | None, *_: object) -> int:
    """Allow to read four columns of one table; no function, no view, no trigger."""
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    is_read = action == sqlite3.SQLITE_READ and table == "bips" and column in _COLUMNS
    return sqlite3.SQLITE_OK if is_read else sqlite3.SQLITE_DENY
