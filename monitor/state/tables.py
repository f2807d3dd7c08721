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

TABLES = {
    "bans": "address, prefix_length, ports, strength, mode, since_s, until_s, detector, reason, origin",
    "offences": "time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence",
    "cursors": "source, boot_id, position",
    "allowed": "address, prefix_length, reason, added_s",
    "windows": "name, saved_s, content",
}
"""The columns of each table in the order of the rows in `rows`; the last column of each is `row_check`."""

KEYS = {
    "bans": "address, prefix_length, ports, strength, origin, detector",
    "offences": "id",
    "cursors": "source",
    "allowed": "address, prefix_length",
    "windows": "rowid",
}
"""The columns by which each table is stored."""

_CHECK = "row_check INTEGER NOT NULL"
_BANS = f"""CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, ports BLOB NOT NULL, strength TEXT NOT NULL,
        origin TEXT NOT NULL, detector TEXT NOT NULL, mode TEXT NOT NULL, since_s REAL NOT NULL, until_s REAL NOT NULL,
        reason TEXT NOT NULL, {_CHECK},
        PRIMARY KEY (address, prefix_length, ports, strength, origin, detector)) STRICT, WITHOUT ROWID"""
"""One row per claim. Rows are in the order of the key, so the claims of one network are consecutive.

The columns of the key come first: otherwise integrity_check of SQLite 3.40 checks the wrong columns for NULL.
"""
_INDEXES = (
    "CREATE INDEX offences_by_network ON offences (address, prefix_length, time_s)",
    "CREATE INDEX offences_by_time ON offences (time_s)",
)
_TABLES_OF_1 = (
    f"""CREATE TABLE offences (
        id INTEGER PRIMARY KEY, time_s REAL NOT NULL, address BLOB NOT NULL, prefix_length INTEGER NOT NULL,
        detector TEXT NOT NULL, strength TEXT NOT NULL, mode TEXT NOT NULL, bantime_s REAL NOT NULL,
        step INTEGER NOT NULL, reason TEXT NOT NULL, evidence BLOB NOT NULL, {_CHECK}) STRICT""",
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
    *_TABLES_OF_1,
    _WINDOWS,
    *_INDEXES,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
"""What makes a new file."""

_BANS_OF_3 = TABLES["bans"].replace("ports, ", "")
_OLD_BANS = "address, prefix_length, strength, mode, since_s, until_s, detector, reason"
_OLD_TABLES = ("bans", "offences", "cursors", "allowed")
_ORIGIN = "CASE detector WHEN 'manual' THEN 'operator' ELSE 'detector' END"


def columns_of(version: int) -> dict[str, str]:
    """Return the columns that the tables of a schema have at least."""
    if version >= VERSION:
        return {table: f"{columns}, row_check" for table, columns in TABLES.items()}
    if version == 3:
        return {table: f"{columns}, row_check" for table, columns in (TABLES | {"bans": _BANS_OF_3}).items()}
    return {table: TABLES[table] for table in _OLD_TABLES} | {"bans": _OLD_BANS if version == 1 else _BANS_OF_3}


def upgrade_from(version: int) -> tuple[str, ...]:
    """Return the statements that bring a file of an older schema to this one; they use the function `row_check`.

    Schema 1 had one ban per network and strength, schema 2 no checksums and no windows, schema 3 no bans of some ports
    only.
    """
    columns = dict(TABLES)
    source = dict(TABLES)
    source["bans"] = TABLES["bans"].replace("ports", "x''")
    if version == 3:
        copied = (
            f"INSERT INTO bans ({columns['bans']}, row_check) "  # noqa: S608 - constants
            f"SELECT {source['bans']}, row_check({source['bans']}) FROM bans_old "
            f"WHERE row_check = row_check({_BANS_OF_3})"
        )
        version_now = f"PRAGMA user_version = {VERSION}"
        return "ALTER TABLE bans RENAME TO bans_old", _BANS, copied, "DROP TABLE bans_old", version_now
    if version == 1:
        old = _OLD_BANS.replace("strength", "x'', strength")
        source["bans"] = f"{old}, {_ORIGIN}"
    columns["offences"] = source["offences"] = f"id, {TABLES['offences']}"
    checked = {table: source[table].removeprefix("id, ") for table in _OLD_TABLES}
    return (
        "DROP INDEX offences_by_network",
        "DROP INDEX offences_by_time",
        *(f"ALTER TABLE {table} RENAME TO {table}_old" for table in _OLD_TABLES),
        _BANS,
        *_TABLES_OF_1,
        _WINDOWS,
        *(
            f"INSERT INTO {table} ({columns[table]}, row_check) "  # noqa: S608 - constants
            f"SELECT {source[table]}, row_check({checked[table]}) FROM {table}_old"
            for table in _OLD_TABLES
        ),
        *(f"DROP TABLE {table}_old" for table in _OLD_TABLES),
        *_INDEXES,
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
