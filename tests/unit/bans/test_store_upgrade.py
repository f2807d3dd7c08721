"""A file of schema 1, in which a network had one ban of each strength, becomes one of claims."""

import sqlite3
from pathlib import Path

import pytest

from monitor.model.bans import ClaimOrigin
from monitor.state import schema
from monitor.state.store import Store

_SCHEMA_1 = (
    """CREATE TABLE bans (
        address BLOB NOT NULL, prefix_length INTEGER NOT NULL, strength TEXT NOT NULL, mode TEXT NOT NULL,
        since_s REAL NOT NULL, until_s REAL NOT NULL, detector TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (address, prefix_length, strength)) STRICT, WITHOUT ROWID""",
    *(statement for statement in schema._SCHEMA if "TABLE bans" not in statement and "user_version" not in statement),
    "PRAGMA user_version = 1",
)
_COUNT = 1000


def _old_file(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in _SCHEMA_1:
        connection.execute(statement)
    connection.execute("BEGIN")
    for number in range(_COUNT):
        detector = "manual" if number % 2 else "sshd"
        row = (number.to_bytes(4), 32, "proven", "enforce", 1000.0, 2000.0 + number, detector, f"reason {number}")
        connection.execute("INSERT INTO bans VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "INSERT INTO offences VALUES (1, 1000.0, ?, 32, 'sshd', 'proven', 'enforce', 600.0, 0, 'why', ?)",
        (bytes(4), b"{}"),
    )
    connection.execute("INSERT INTO cursors VALUES ('journal', 'boot', 'place')")
    connection.execute("INSERT INTO allowed VALUES (?, 32, 'a friend', 1000.0)", (b"\xc0\0\2\1",))
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


def test_everything_is_kept(tmp_path: Path) -> None:
    """A thousand bans, offences, places in the sources and allowed networks come through, twice opened or once."""
    path = tmp_path / "nodewarden.db"
    _old_file(path)
    _check(path)
    _check(path)


@pytest.mark.parametrize("done", range(len(schema._FROM_1) + 1))
def test_an_upgrade_cut_short_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """Ended after any of its steps, the file is still of schema 1 with all that was in it."""
    path = tmp_path / "nodewarden.db"
    _old_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_FROM_1", (*schema._FROM_1[:done], "SELECT * FROM no_such_table"))
        with pytest.raises(Exception, match="no_such_table"):
            Store.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    connection.close()
    _check(path)
