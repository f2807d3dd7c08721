"""Bans of fail2ban's database: what is in force comes over with its time, and no file does harm."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban import bans
from monitor.filters.fail2ban.bans import JailBan, read_bans
from monitor.filters.fail2ban.jails import LONGEST_BAN_S
from monitor.model.addresses import parse_network

_NOW_S = 1_800_000_000.0
_TABLE = (
    "CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, "
    "bancount INTEGER NOT NULL default 1, data JSON, PRIMARY KEY(ip, jail))"
)
"""As fail2ban 0.11 to 1.1.1 create it."""


def database(path: Path, *rows: tuple[Any, ...], table: str = _TABLE) -> Path:
    """Write a database with these rows: ip, jail, timeofban, bantime."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(table)
        connection.executemany("INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime) VALUES(?, ?, ?, ?)", rows)
    return path


def test_bans_in_force(tmp_path: Path) -> None:
    """What has not ended keeps its remaining time; of several jails, the longest ban counts, and all are named."""
    path = database(
        tmp_path / "db",
        ("192.0.2.1", "sshd", _NOW_S - 100, 600),
        ("192.0.2.1", "nginx", _NOW_S - 50, 60),
        ("192.0.2.2", "sshd", _NOW_S - 600, 600),
        ("192.0.2.3", "sshd", _NOW_S - 9e8, -1),
        ("192.0.2.4", "sshd", _NOW_S + 9e8, 600),
        ("192.0.2.5", "sshd", _NOW_S, 10**12),
        ("2001:db8::1", "ss\x1bhd", _NOW_S, 7.5),
        ("198.51.100.0/24", "web", _NOW_S, 60),
        ("host.example", "web", _NOW_S, 60),
    )
    found = read_bans(path, _NOW_S)
    expected = {
        "192.0.2.1": (("sshd", "nginx"), 500.0),
        "192.0.2.3": (("sshd",), LONGEST_BAN_S),
        "192.0.2.4": (("sshd",), 600.0),
        "192.0.2.5": (("sshd",), LONGEST_BAN_S),
        "2001:db8::1": (("ss?hd",), 7.5),
        "198.51.100.0/24": (("web",), 60.0),
    }
    assert {str(ban.network): (tuple(sorted(ban.jails, reverse=True)), ban.left_s) for ban in found.bans} == expected
    assert (found.ended, found.unreadable, found.is_cut) == (1, 1, False)


def test_the_original_stays_as_it_is(tmp_path: Path) -> None:
    """Nothing is written beside the database, which may be in use."""
    path = database(tmp_path / "db", ("192.0.2.1", "sshd", _NOW_S, 60))
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with contextlib.closing(sqlite3.connect(path)) as user:
        user.execute("BEGIN IMMEDIATE")
        assert len(read_bans(path, _NOW_S).bans) == 1
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE bans(ip TEXT, jail TEXT, timeofban INTEGER, data JSON)",
        "CREATE VIEW bips AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS ip FROM n",
        "CREATE VIEW bips AS SELECT hex(zeroblob(100000000)) AS ip, '' AS jail, 1 AS timeofban, 9 AS bantime",
        "CREATE VIEW bips AS SELECT load_extension('x') AS ip, '' AS jail, 1 AS timeofban, 9 AS bantime",
    ],
)
def test_hostile_schemas(tmp_path: Path, table: str) -> None:
    """A view, a function or another version in the place of the table is refused with one sentence."""
    path = tmp_path / "db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(table)
    with pytest.raises(FilterError, match=r"db is not a readable database of fail2ban 0\.11 or later"):
        read_bans(path, _NOW_S)


def test_what_is_no_file(tmp_path: Path) -> None:
    """Missing files, directories and FIFOs are refused at once."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "fifo", ".", "a\0b"):
        with pytest.raises(FilterError):
            read_bans(tmp_path / name, _NOW_S)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bans than can be in force, and a file that is too large, are cut or refused, and that is said."""
    path = database(tmp_path / "db", *((f"192.0.2.{number}", "j", _NOW_S, 60) for number in range(9)))
    monkeypatch.setattr(bans, "_MAX_BANS", 4)
    found = read_bans(path, _NOW_S)
    assert (len(found.bans), found.is_cut) == (4, True)
    monkeypatch.setattr(bans, "_MAX_FILE_BYTES", 100)
    with pytest.raises(FilterError, match="larger than"):
        read_bans(path, _NOW_S)


_ANY = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=8), st.text(max_size=8),
    st.sampled_from(["192.0.2.1", "::1", "192.0.2.0/24", "-1", _NOW_S, -1]),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_ANY, _ANY, _ANY, _ANY), max_size=8))
def test_any_rows(rows: list[tuple[Any, ...]]) -> None:
    """Values of any type give bans with an address and a positive time, or are counted."""
    with tempfile.TemporaryDirectory() as name:
        path = database(Path(name) / "db", *rows, table="CREATE TABLE bips(ip, jail, timeofban, bantime)")
        found = read_bans(path, _NOW_S)
    assert all(isinstance(ban, JailBan) and 0 < ban.left_s <= LONGEST_BAN_S for ban in found.bans)
    assert all(parse_network(str(ban.network)) == ban.network for ban in found.bans)
    assert len(found.bans) + found.ended + found.unreadable <= len(rows)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 8191), st.binary(min_size=1, max_size=64))
def test_any_damage(position: int, damage: bytes) -> None:
    """A damaged file is read as far as SQLite can, or refused."""
    with tempfile.TemporaryDirectory() as name:
        path = database(Path(name) / "db", *((f"192.0.2.{number}", "j", _NOW_S, 60) for number in range(20)))
        with path.open("r+b") as file:
            file.seek(position)
            file.write(damage)
        with contextlib.suppress(FilterError):
            assert len(read_bans(path, _NOW_S).bans) <= 40
