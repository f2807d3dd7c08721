"""Files of older schemas: 1 (one ban of each strength for a network), 2 (no checksums), 3 (nothing of the spared)."""

import sqlite3
from pathlib import Path

import pytest

from monitor.model.bans import ClaimOrigin
from monitor.state import schema, tables
from monitor.state.history import HistoryQuery, reading
from monitor.state.store import Store

_OTHERS = (
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
    f"PRAGMA application_id = {tables.APPLICATION_ID}",
)
_SCHEMAS: dict[int, tuple[str, ...]] = {
    1: (
        """CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, strength TEXT NOT NULL, mode TEXT NOT NULL,
        since_s REAL NOT NULL, until_s REAL NOT NULL, detector TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (address, prefix_length, strength)) STRICT, WITHOUT ROWID""",
        *_OTHERS,
    ),
    2: (
        """CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, strength TEXT NOT NULL, origin TEXT NOT NULL,
        detector TEXT NOT NULL, mode TEXT NOT NULL, since_s REAL NOT NULL, until_s REAL NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (address, prefix_length, strength, origin, detector)) STRICT, WITHOUT ROWID""",
        *_OTHERS,
    ),
}
_SCHEMAS[3] = tuple(
    statement.replace(") STRICT", ", row_check INTEGER NOT NULL) STRICT")
    if "PRIMARY KEY (" not in statement
    else statement.replace("PRIMARY KEY (", "row_check INTEGER NOT NULL, PRIMARY KEY (")
    for statement in (
        *_SCHEMAS[2],
        "CREATE TABLE windows (name TEXT PRIMARY KEY, saved_s REAL NOT NULL, content BLOB NOT NULL) STRICT",
    )
)
_CHECKED = {
    "bans": "address, prefix_length, strength, mode, since_s, until_s, detector, reason, origin",
    "offences": "time_s, address, prefix_length, detector, strength, mode, bantime_s, step, reason, evidence",
    "cursors": "source, boot_id, position",
    "allowed": "address, prefix_length, reason, added_s",
}
_COUNT = 1000


def _old_file(path: Path, version: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    tables.teach(connection)
    check = ", 0" if version == 3 else ""
    for statement in (*_SCHEMAS[version], f"PRAGMA user_version = {version}"):
        connection.execute(statement)
    columns = "address, prefix_length, strength, mode, since_s, until_s, detector, reason"
    connection.execute("BEGIN")
    for number in range(_COUNT):
        detector = "manual" if number % 2 else "sshd"
        row = (number.to_bytes(4), 32, "proven", "enforce", 1000.0, 2000.0 + number, detector, f"reason {number}")
        if version == 1:
            connection.execute(f"INSERT INTO bans ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        else:
            origin = "operator" if number % 2 else "detector"
            more = "origin, row_check" if check else "origin"
            connection.execute(
                f"INSERT INTO bans ({columns}, {more}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?{check})", (*row, origin)
            )
    connection.execute(
        f"INSERT INTO offences VALUES (1, 1000.0, ?, 32, 'sshd', 'proven', 'enforce', 600.0, 0, 'why', ?{check})",
        (bytes(4), b"{}"),
    )
    connection.execute(f"INSERT INTO cursors VALUES ('journal', 'boot', 'place'{check})")
    connection.execute(f"INSERT INTO allowed VALUES (?, 32, 'a friend', 1000.0{check})", (b"\xc0\0\2\1",))
    if check:
        for table, checked in _CHECKED.items():
            connection.execute(f"UPDATE {table} SET row_check = row_check({checked})")
    connection.execute("COMMIT")
    connection.close()


def _check(path: Path) -> None:
    store = Store.open(path)
    bans = {int.from_bytes(ban.network.address): ban for ban in store.bans()}
    assert list(bans) == list(range(_COUNT))
    for number, ban in bans.items():
        assert ban.origin is (ClaimOrigin.OPERATOR if number % 2 else ClaimOrigin.DETECTOR)
        assert (ban.until_s, ban.reason) == (2000.0 + number, f"reason {number}")
        assert ban.detector == ("manual" if number % 2 else "sshd")
    assert len(list(store.offences(0.0))) == len(store.allowed()) == len(store.cursors()) == 1
    assert store.notices == []
    assert not store.is_new
    store.close()
    with reading(path) as reader:
        (detector,) = reader.report(HistoryQuery(0.0, 1e9))["detectors"]
    assert (detector["detector"], detector["outcomes"]) == ("sshd", {"ban": 1})


@pytest.mark.parametrize("version", [1, 2, 3])
def test_everything_is_kept(tmp_path: Path, version: int) -> None:
    """A thousand bans, offences, places in the sources and allowed networks come through, twice opened or once."""
    path = tmp_path / "nodewarden.db"
    _old_file(path, version)
    _check(path)
    _check(path)


@pytest.mark.parametrize(
    ("version", "done"),
    [(version, done) for version in (1, 2, 3) for done in range(0, len(tables.upgrade_from(version)) + 1, 3)],
)
def test_an_upgrade_cut_short_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, done: int
) -> None:
    """Ended after any of its steps, the file is still of the old schema with all that was in it."""
    path = tmp_path / "nodewarden.db"
    _old_file(path, version)
    statements = (*tables.upgrade_from(version)[:done], "SELECT * FROM no_such_table")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "upgrade_from", lambda _: statements)
        with pytest.raises(Exception, match="no_such_table"):
            Store.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == version
    connection.close()
    _check(path)


def test_a_damaged_file_of_schema_3_is_saved_from_its_copy(tmp_path: Path) -> None:
    """Both are of the old schema; every row comes through, from one or the other."""
    path = tmp_path / "nodewarden.db"
    _old_file(path, 3)
    connection = sqlite3.connect(path)
    connection.execute("VACUUM INTO ?", (f"{path}.copy",))
    connection.execute("UPDATE bans SET until_s = until_s + 1 WHERE address = ?", (bytes(4),))
    connection.execute("UPDATE offences SET reason = 'another'")
    connection.commit()
    connection.close()
    store = Store.open(path)
    assert "was set aside" in store.notices[0]
    assert len(list(store.bans())) == _COUNT
    (offence,) = store.offences(0.0)
    assert offence.reason == "why"
    store.close()
