"""Whatever is wrong with the file or its disk: nothing is lost, and there is a store or a reason why not."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.model.addresses import Network
from monitor.model.errors import TemporaryError
from monitor.state import schema as store_schema
from monitor.state.store import Store
from monitor.state.tables import KEYS, TABLES
from tests.unit.bans.store_support import BAN, OFFENCE, by_hand, changes, fill, set_aside

NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="needs root: mounts in a namespace of its own"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be, in a directory that is not there yet."""
    return tmp_path / "state" / "nodewarden.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Return an empty store."""
    opened = Store.open(path)
    yield opened
    opened.close()


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(50_000))


def _truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)


def _zeroed_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * (path.stat().st_size // 8192))
        file.write(bytes(4096))


def _zeroed_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def _missing_table(path: Path) -> None:
    by_hand(path, "DROP TABLE cursors")


@pytest.mark.parametrize(
    ("damage", "saved"),
    [(_garbage, 0), (_truncated, 0), (_zeroed_page, 1900), (_zeroed_head, 0), (_missing_table, 2000)],
)
def test_a_damaged_file_is_set_aside(path: Path, damage: Callable[[Path], None], saved: int) -> None:
    """It is kept, the store works again with what can be read, and the operator is told where the file went."""
    fill(path)
    damage(path)
    content = path.read_bytes()
    store = Store.open(path)
    found = list(store.bans())
    assert len(found) >= saved
    assert store.is_new == (not found)
    (kept,) = set_aside(path, "corrupt")
    assert kept.read_bytes() == content
    assert len(store.notices) == 1
    assert kept.name in store.notices[0]
    store.write(changes(BAN))
    assert list(store.bans()) == [*found, BAN]
    store.close()
    again = Store.open(path)
    assert (again.is_new, again.notices, list(again.bans())) == (False, [], [*found, BAN])
    again.close()


def test_random_damage_never_raises(path: Path) -> None:
    """Whatever bytes are overwritten, the file works to read, write and purge, or it is set aside."""
    fill(path, 300)
    store = Store.open(path)
    store.write(changes(*[OFFENCE] * 300))
    store.close()
    content = path.read_bytes()
    chance = random.Random(7)
    for _ in range(40):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 10, 1000])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        store = Store.open(path)
        assert len(list(store.bans())) <= 300
        assert len(list(store.offences(0.0))) <= 300
        store.write(changes(BAN))
        store.purge(0.0, 10)
        store.close()


@pytest.mark.parametrize(
    ("statement", "word", "sentence"),
    [
        ("PRAGMA user_version = 99", "newer", "newer nodewarden (schema 99"),
        ("PRAGMA application_id = 77", "foreign", "another program"),
        ("PRAGMA user_version = 0", "corrupt", "damaged"),
    ],
)
def test_a_file_that_is_not_ours_is_set_aside_whole(path: Path, statement: str, word: str, sentence: str) -> None:
    """A newer schema or another program's file keeps its rows, and a free name is found for each."""
    for count in (1, 2):
        fill(path, 3)
        by_hand(path, statement)
        store = Store.open(path)
        assert sentence in store.notices[0]
        store.close()
        kept = set_aside(path, word)
        assert len(kept) == count
        for file in kept:
            with sqlite3.connect(file) as connection:
                assert connection.execute("SELECT count(*) FROM bans").fetchone() == (3,)
            connection.close()


def test_the_log_beside_a_file_goes_with_it(path: Path) -> None:
    """What was committed but not yet moved into the main file is set aside, too."""
    fill(path, 1)
    script = (
        "import sqlite3, sys, os\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA user_version = 99')\n"
        "connection.execute('DELETE FROM bans')\n"
        "connection.commit()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=30)
    Store.open(path).close()
    (kept,) = set_aside(path, "newer")
    assert kept.with_name(kept.name + "-wal").exists()
    connection = sqlite3.connect(kept)
    assert connection.execute("SELECT count(*) FROM bans").fetchone() == (0,)
    connection.close()


def test_files_set_aside_do_not_fill_the_disk(path: Path) -> None:
    """After ten of them the operator must look; until then there is no store, and the file is left alone."""
    path.parent.mkdir()
    for _ in range(10):
        _garbage(path)
        Store.open(path).close()
    _garbage(path)
    with pytest.raises(TemporaryError, match="10 files were set aside before"):
        Store.open(path)
    assert path.stat().st_size == 50_000


def test_rows_edited_by_hand_are_passed_over(path: Path) -> None:
    """Bad lengths, host bits, unknown words and endless times cost their own rows only, and are counted."""
    fill(path, 1)
    bad = [
        "x'c0a8', 32, 'proven', 'enforce', 0, 1",
        "x'c0000201', 33, 'proven', 'enforce', 0, 1",
        "x'c0000201', -1, 'proven', 'enforce', 0, 1",
        "x'c0000201', 24, 'proven', 'enforce', 0, 1",
        "x'c0000201', 32, 'strong', 'enforce', 0, 1",
        "x'c0000202', 32, 'proven', 'jail', 0, 1",
        "x'c0000203', 32, 'proven', 'enforce', 0, 9e999",
    ]
    allowed = "INSERT INTO allowed VALUES (x'', 0, 'a', 1, 0), (x'c0000200', 24, 'b', 1, 0)"
    cursors = "INSERT INTO cursors VALUES ('a', '', x'00', 0), ('b', '', 1.5, 0), ('c', '', 3, 0)"
    by_hand(
        path,
        *(
            f"INSERT INTO bans ({TABLES['bans']}, row_check) VALUES ({row}, 'd', 'r', 'detector', x'', 0)"
            for row in bad
        ),
        allowed,
        cursors,
        *(f"UPDATE {table} SET row_check = row_check({TABLES[table]})" for table in KEYS),
    )
    store = Store.open(path)
    for _ in range(2):
        assert len(list(store.bans())) == 1
        assert [str(entry.network) for entry in store.allowed()] == ["192.0.2.0/24"]
        assert store.cursors() == {"c": ("", 3)}
    assert [notice.split(" in ")[0] for notice in store.notices] == [
        "7 rows of bans",
        "1 rows of allowed",
        "2 rows of cursors",
    ]
    store.close()


def test_a_full_file_changes_nothing(store: Store) -> None:
    """What does not fit is refused as a whole with what to do; later, with space, it is written."""
    store.write(changes(BAN))
    store._writer.execute("PRAGMA max_page_count = 12")
    many = changes(OFFENCE, *(msgspec.structs.replace(BAN, network=Network(n.to_bytes(4), 32)) for n in range(5000)))
    with pytest.raises(TemporaryError, match="disk full: free space"):
        store.write(many)
    assert (list(store.bans()), list(store.offences(0))) == ([BAN], [])
    store._writer.execute("PRAGMA max_page_count = 100000")
    store.write(many)
    assert (sum(1 for _ in store.bans()), list(store.offences(0))) == (5001, [OFFENCE])


def test_a_file_that_another_program_locks_is_named(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's open transaction keeps us from writing; the error says how to find whose it is."""
    store._writer.execute("PRAGMA busy_timeout = 1")
    monkeypatch.setattr(store_schema, "_BUSY_S", 0.001)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError, match="fuser -v"):
        store.write(changes(BAN))
    with pytest.raises(TemporaryError, match="fuser -v"):
        Store.open(path)
    other.close()
    store.write(changes(BAN))


@pytest.mark.parametrize("replacement", [None, b""])
def test_a_file_that_vanished_is_noticed(path: Path, store: Store, replacement: bytes | None) -> None:
    """Writing to a file that was removed or replaced would be lost; it is an error that opening again mends."""
    path.unlink()
    if replacement is not None:
        path.write_bytes(replacement)
    with pytest.raises(TemporaryError, match=r"(removed|replaced) while in use"):
        store.write(changes(BAN))


def test_what_is_no_directory_or_no_file_is_named(tmp_path: Path) -> None:
    """A path that cannot be a file says so instead of waiting or crashing."""
    (tmp_path / "file").write_text("")
    with pytest.raises(TemporaryError, match=r"file/nodewarden\.db"):
        Store.open(tmp_path / "file" / "nodewarden.db")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TemporaryError, match="not a regular file"):
        Store.open(tmp_path / "fifo")


_IN_NAMESPACE = """
import subprocess, sys
from pathlib import Path
from monitor.state.store import Store
from monitor.model.errors import TemporaryError
from tests.unit.bans.store_support import BAN, OFFENCE, changes

def mount(*words):
    subprocess.run(["mount", *words, sys.argv[1]], check=True)

def attempt(work):
    try:
        work()
        print("done")
    except TemporaryError as error:
        print(error)

path = Path(sys.argv[1]) / "state" / "nodewarden.db"
mount("-t", "tmpfs", "-o", "size=512k", "none")
store = Store.open(path)
store.write(changes(BAN))
ballast = Path(sys.argv[1]) / "ballast"
try:
    ballast.write_bytes(bytes(1 << 20))
except OSError:
    pass
attempt(lambda: store.write(changes(*[OFFENCE] * 1000)))
print(list(store.bans()) == [BAN], list(store.offences(0)) == [])
ballast.unlink()
attempt(lambda: store.write(changes(OFFENCE)))
print(list(store.bans()) == [BAN], list(store.offences(0)) == [OFFENCE])
store.close()
mount("-o", "remount,ro")
attempt(lambda: Store.open(path))
attempt(lambda: Store.open(path.with_name("other.db")))
mount("-o", "remount,rw")
store = Store.open(path)
print(list(store.bans()) == [BAN])
"""


@NEEDS_ROOT
def test_a_full_disk_and_a_read_only_one_pass(tmp_path: Path) -> None:
    """On a real small file system: refused whole while full or read-only, and as if nothing had been afterwards."""
    command = ["unshare", "-m", sys.executable, "-c", _IN_NAMESPACE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    full, kept, again, both, read_only, other, after = done.stdout.splitlines()
    assert "disk full" in full
    assert (kept, again, both, after) == ("True True", "done", "True True", "True")
    assert "file system writable" in read_only
    assert "file system" in other
