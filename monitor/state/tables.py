"""The tables of the store, and the checksum of each row.

A flipped bit in a page leaves a file that SQLite finds sound with a row that says something else: another address,
another end. So each row ends with the CRC-32 of the rest, and a row that does not match it is no row.
"""

import sqlite3
from typing import Any, TypeAlias
from zlib import crc32

import msgspec

from monitor.model.errors import MalformedRecord

Row: TypeAlias = tuple[Any, ...]
_encode = msgspec.msgpack.Encoder().encode

APPLICATION_ID = 0x4E57_4152
"""Identifies our files (https://www.sqlite.org/pragma.html#pragma_application_id): "NWAR"."""
VERSION = 4
"""The version of the schema, in `user_version` of the file."""
CHECKED_SINCE = 3
"""The first version whose rows have checksums."""

TABLES = {
    "bans": "address, prefix_length, strength, mode, since_s, until_s, detector, reason, origin",
    "offences": "time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence, "
    "spared, standing",
    "tallies": "hour, detector, strength, outcome, count",
    "cursors": "source, boot_id, position",
    "allowed": "address, prefix_length, reason, added_s",
    "windows": "name, saved_s, content",
}
"""The columns of each table in the order of the rows in `rows`; the last column of each is `row_check`."""

KEYS = {
    "bans": "address, prefix_length, strength, origin, detector",
    "offences": "id",
    "tallies": "hour, detector, strength, outcome",
    "cursors": "source",
    "allowed": "address, prefix_length",
    "windows": "rowid",
}
"""The columns by which each table is stored."""

_CHECK = "row_check INTEGER NOT NULL"
_BANS = f"""CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, strength TEXT NOT NULL, origin TEXT NOT NULL,
        detector TEXT NOT NULL, mode TEXT NOT NULL, since_s REAL NOT NULL, until_s REAL NOT NULL, reason TEXT NOT NULL,
        {_CHECK},
        PRIMARY KEY (address, prefix_length, strength, origin, detector)) STRICT, WITHOUT ROWID"""
"""One row per claim. Rows are in the order of the key, so the claims of one network are consecutive.

The columns of the key come first: otherwise integrity_check of SQLite 3.40 checks the wrong columns for NULL.
"""
_INDEXES = (
    "CREATE INDEX offences_by_network ON offences (address, prefix_length, time_s)",
    "CREATE INDEX offences_by_time ON offences (time_s)",
)
_OFFENCES = f"""CREATE TABLE offences (
        id INTEGER PRIMARY KEY, time_s REAL NOT NULL, address BLOB NOT NULL, prefix_length INTEGER NOT NULL,
        detector TEXT NOT NULL, strength TEXT NOT NULL, mode TEXT NOT NULL, bantime_s REAL NOT NULL,
        step INTEGER NOT NULL, reason TEXT NOT NULL, evidence BLOB NOT NULL, spared TEXT NOT NULL,
        standing TEXT NOT NULL, {_CHECK}) STRICT"""
"""Bans that began, or would have, and alerts that were spared: the history."""
_TALLIES = f"""CREATE TABLE tallies (
        hour INTEGER NOT NULL, detector TEXT NOT NULL, strength TEXT NOT NULL, outcome TEXT NOT NULL,
        count INTEGER NOT NULL, {_CHECK},
        PRIMARY KEY (hour, detector, strength, outcome)) STRICT, WITHOUT ROWID"""
"""How much the history had of each kind in each hour, with what has no row of its own in `offences`."""
_TABLES_OF_1 = (
    f"""CREATE TABLE cursors (
        source TEXT PRIMARY KEY, boot_id TEXT NOT NULL, position ANY NOT NULL, {_CHECK}) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE allowed (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, reason TEXT NOT NULL, added_s REAL NOT NULL, {_CHECK},
        PRIMARY KEY (address, prefix_length)) STRICT, WITHOUT ROWID""",
)
_WINDOWS = f"""CREATE TABLE windows (
        name TEXT PRIMARY KEY, saved_s REAL NOT NULL, content BLOB NOT NULL, {_CHECK}) STRICT"""

SCHEMA = (
    _BANS,
    _OFFENCES,
    _TALLIES,
    *_TABLES_OF_1,
    _WINDOWS,
    *_INDEXES,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
"""What makes a new file."""

_OLD_BANS = "address, prefix_length, strength, mode, since_s, until_s, detector, reason"
_OLD_OFFENCES = "time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence"
_OLD_TABLES = ("bans", "offences", "cursors", "allowed")
_FROM_3 = (
    f"DELETE FROM offences WHERE row_check != row_check({_OLD_OFFENCES})",  # noqa: S608 - constants
    "ALTER TABLE offences ADD COLUMN spared TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE offences ADD COLUMN standing TEXT NOT NULL DEFAULT ''",
    f"UPDATE offences SET row_check = row_check({TABLES['offences']})",  # noqa: S608 - constants
)
_COUNT_OFFENCES = """INSERT INTO tallies (hour, detector, strength, outcome, count, row_check)
    SELECT *, row_check(hour, detector, strength, outcome, count) FROM (
        SELECT max(0, CAST(time_s / 3600 AS INTEGER)) AS hour, detector, strength,
            CASE mode WHEN 'enforce' THEN 'ban' ELSE 'observe' END AS outcome, count(*) AS count
        FROM offences GROUP BY 1, 2, 3, 4)"""
_ORIGIN = "CASE detector WHEN 'manual' THEN 'operator' ELSE 'detector' END"


def columns_of(version: int) -> dict[str, str]:
    """Return the columns that the tables of a schema have at least."""
    if version >= CHECKED_SINCE:
        return {table: f"{columns_in(version, table)}, row_check" for table in TABLES if columns_in(version, table)}
    old = {table: TABLES[table] for table in _OLD_TABLES} | {"offences": _OLD_OFFENCES}
    return old | ({"bans": _OLD_BANS} if version == 1 else {})


def columns_in(version: int, table: str) -> str:
    """Return the columns, other than `row_check`, of a table of a schema with checksums; empty if it has no such table.

    Later schemas only added columns at the end, so `added_in` completes a row.
    """
    if version >= VERSION:
        return TABLES[table]
    return {"offences": _OLD_OFFENCES, "tallies": ""}.get(table, TABLES[table])


def added_in(version: int, table: str) -> Row:
    """Return what completes a row of a table of an older schema with checksums."""
    return ("", "") if version < VERSION and table == "offences" else ()


def upgrade_from(version: int) -> tuple[str, ...]:
    """Return the statements that bring a file of an older schema to this one; they use the function `row_check`.

    Schema 1 had one ban per network and strength, schema 2 no checksums and no windows, schema 3 no history of what was
    spared and no tallies.
    """
    if version >= CHECKED_SINCE:
        return (*_FROM_3, _TALLIES, _COUNT_OFFENCES, f"PRAGMA user_version = {VERSION}")
    columns = dict(TABLES)
    source = dict(TABLES)
    if version == 1:
        source["bans"] = f"{_OLD_BANS}, {_ORIGIN}"
    columns["offences"] = f"id, {TABLES['offences']}"
    source["offences"] = f"id, {_OLD_OFFENCES}, '', ''"
    checked = {table: source[table].removeprefix("id, ") for table in _OLD_TABLES}
    return (
        "DROP INDEX offences_by_network",
        "DROP INDEX offences_by_time",
        *(f"ALTER TABLE {table} RENAME TO {table}_old" for table in _OLD_TABLES),
        _BANS,
        _OFFENCES,
        _TALLIES,
        *_TABLES_OF_1,
        _WINDOWS,
        *(
            f"INSERT INTO {table} ({columns[table]}, row_check) "  # noqa: S608 - constants
            f"SELECT {source[table]}, row_check({checked[table]}) FROM {table}_old"
            for table in _OLD_TABLES
        ),
        *(f"DROP TABLE {table}_old" for table in _OLD_TABLES),
        *_INDEXES,
        _COUNT_OFFENCES,
        f"PRAGMA user_version = {VERSION}",
    )


def row_check(*row: Any) -> int:
    """Return the checksum of a row."""
    return crc32(_encode(row))


def checked(row: Row) -> Row:
    """Return a row with its checksum."""
    return *row, crc32(_encode(row))


def matches(row: Row) -> bool:
    """Whether a row ends with its checksum."""
    return bool(crc32(_encode(row[:-1])) == row[-1])


def unchecked(row: Row) -> Row:
    """Return a row without its checksum; MalformedRecord if that does not match."""
    if not matches(row):
        raise MalformedRecord("checksum", repr(row))
    return row[:-1]


def teach(connection: sqlite3.Connection) -> None:
    """Give SQL on this connection the function `row_check`."""
    connection.create_function("row_check", -1, row_check, deterministic=True)
