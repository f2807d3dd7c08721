"""The saver gathers, writes beside the loop, and loses nothing while the disk does not take it."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.model.cursors import Cursor
from monitor.state.changes import Allowed, StateChanges
from monitor.state.saver import Saver
from monitor.state.schema import Opened, connect
from monitor.state.store import Store
from tests.unit.bans.store_support import BAN, NETWORK, OFFENCE, changes
from tests.unit.daemon.saver_support import Clock, Disk, many, tick_until

ALLOWED = Allowed(NETWORK, "the office", 1.0)
LARGE = msgspec.structs.replace(OFFENCE, reason="x" * 100_000)
"""More than fits into the pages that a new file has."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be."""
    return tmp_path / "nodewarden.db"


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def disk() -> Disk:
    """Return a disk that works."""
    return Disk()


@pytest.fixture
def saver(path: Path, clock: Clock, disk: Disk) -> Iterator[Saver]:
    """Return an open saver on this disk."""
    saver = Saver(path, clock=clock, open_store=disk.open, max_offences=50, max_removals=30)
    assert saver.open() is not None
    yield saver
    disk.is_full = False
    disk.go.set()
    saver.close()


def test_what_is_put_is_in_the_file_after_a_tick(saver: Saver, path: Path) -> None:
    """Each kind of change is written by the worker, and read by the next daemon."""
    saver.put_ban(BAN)
    saver.add_offence(OFFENCE)
    saver.save_cursor("kernel_log", Cursor("boot", 7))
    saver.put_allowed(ALLOWED)
    assert saver.pending == 4
    tick_until(saver, lambda: saver.pending == 0)
    assert (saver.written_total, saver.failures_total, saver.is_saving_ok) == (4, 0, True)
    store = Store.open(path)
    assert (list(store.bans()), list(store.offences(0.0))) == ([BAN], [OFFENCE])
    assert (store.cursors(), store.allowed()) == ({"kernel_log": ("boot", 7)}, [ALLOWED])
    store.close()


def test_clearing_removes_what_is_in_the_file_and_what_waits(saver: Saver, disk: Disk, clock: Clock) -> None:
    """Also if the write that was under way fails; what comes after it is kept."""
    first, second, third = many(3)
    saver.put_ban(first)
    assert saver.flush()
    disk.is_full = True
    saver.put_ban(second)
    saver.add_offence(LARGE)
    saver.tick()
    saver.clear_bans()
    saver.put_ban(third)
    tick_until(saver, lambda: bool(saver.trouble))
    disk.is_full = False
    clock.now_s += 60
    tick_until(saver, lambda: not saver.pending)
    assert saver.store is not None
    assert list(saver.store.bans()) == [third]


def test_the_last_word_wins_while_waiting(saver: Saver) -> None:
    """Put and removed is nothing, removed and put is there; a thousand changes of one key are one."""
    first, second = many(2)
    for _ in range(1000):
        saver.put_ban(first)
        saver.remove_ban(first)
        saver.remove_ban(second)
        saver.put_ban(second)
        saver.put_allowed(ALLOWED)
        saver.remove_allowed(NETWORK)
    assert saver.pending == 3
    assert saver.flush()
    assert saver.store is not None
    assert (list(saver.store.bans()), saver.store.allowed()) == ([second], [])


def test_the_last_word_wins_over_a_write_that_fails_meanwhile(saver: Saver, disk: Disk, clock: Clock) -> None:
    """What is said while older changes are under way counts, although those come back."""
    first, second = many(2)
    saver.put_ban(first)
    saver.remove_ban(second)
    saver.put_allowed(ALLOWED)
    saver.add_offence(LARGE)
    disk.go.clear()
    disk.is_full = True
    saver.tick()
    saver.remove_ban(first)
    saver.put_ban(second)
    saver.remove_allowed(NETWORK)
    disk.go.set()
    tick_until(saver, lambda: not saver.is_saving_ok)
    assert saver.pending == 4
    disk.is_full = False
    clock.now_s = 100.0
    tick_until(saver, lambda: saver.is_saving_ok)
    assert saver.store is not None
    assert (list(saver.store.bans()), saver.store.allowed()) == ([second], [])


def test_a_full_disk_keeps_everything_pending(
    saver: Saver, disk: Disk, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again ever more slowly, logged once at each end, and written whole when there is space."""
    caplog.set_level(logging.INFO)
    disk.is_full = True
    for ban in many(3000):
        saver.put_ban(ban)
    saver.add_offence(OFFENCE)
    waits = []
    for failures in range(1, 8):
        tick_until(saver, lambda expected=failures: saver.failures_total == expected)  # type: ignore[misc]
        waits.append(saver._retry_at_s - clock.now_s)
        saver.tick()
        assert saver.failures_total == failures
        clock.now_s = saver._retry_at_s
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert "state is not being saved: disk full" in saver.trouble
    assert (saver.pending, saver.written_total) == (3001, 0)
    disk.is_full = False
    tick_until(saver, lambda: saver.is_saving_ok)
    assert (saver.pending, saver.written_total, saver.trouble) == (0, 3001, "")
    assert saver.store is not None
    assert (sum(1 for _ in saver.store.bans()), list(saver.store.offences(0.0))) == (3000, [OFFENCE])
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_what_could_grow_without_bound_is_bounded(saver: Saver) -> None:
    """Of offences and removals the newest stay pending; what was dropped is counted."""
    for number in range(80):
        saver.add_offence(msgspec.structs.replace(OFFENCE, step=number))
    for ban in many(80):
        saver.remove_ban(ban)
    assert saver.pending == 80
    assert (saver.dropped_offences_total, saver.dropped_removals_total) == (30, 50)
    assert saver.flush()
    assert saver.store is not None
    assert [offence.step for offence in saver.store.offences(0.0)] == list(range(30, 80))


def test_an_order_is_on_disk_before_the_reply(saver: Saver, path: Path) -> None:
    """Flush waits for what is under way and for what is pending; the file holds it when it returns."""
    for ban in many(500):
        saver.put_ban(ban)
    saver.tick()
    saver.put_ban(BAN)
    assert saver.flush(5.0)
    store = Store.open(path)
    assert sum(1 for _ in store.bans()) == 501
    store.close()


def test_what_was_only_written_is_synced_once(saver: Saver, disk: Disk) -> None:
    """After a write of the ordinary kind a flush syncs, although nothing is pending; a second one has nothing to do."""
    saver.put_ban(BAN)
    tick_until(saver, lambda: saver.pending == 0)
    assert disk.writes == 1
    assert saver.flush()
    assert saver.flush()
    assert disk.writes == 2


def test_a_flush_that_fails_or_takes_too_long_says_so(saver: Saver, disk: Disk) -> None:
    """It returns in time with False, the change stays pending, and a later one succeeds."""
    disk.go.clear()
    saver.add_offence(LARGE)
    assert not saver.flush(0.05)
    assert not saver.flush(0.05)
    assert saver.pending == 1
    disk.is_full = True
    disk.go.set()
    assert not saver.flush()
    assert (saver.pending, saver.is_saving_ok) == (1, False)
    disk.is_full = False
    assert saver.flush()
    assert saver.pending == 0


def test_without_a_store_the_daemon_goes_on(path: Path, clock: Clock, disk: Disk) -> None:
    """What happens before it can be opened is in it afterwards, and the owner hears of what it held already."""
    earlier = Store.open(path)
    kept = StateChanges()
    kept.allowed[NETWORK] = ALLOWED
    earlier.write(kept)
    earlier.close()
    heard: list[Store] = []
    disk.is_full = True
    saver = Saver(path, heard.append, clock=clock, open_store=disk.open)
    assert saver.open() is None
    assert "disk full" in saver.trouble
    saver.put_ban(BAN)
    saver.tick()
    assert (saver.pending, saver.failures_total) == (1, 1)
    disk.is_full = False
    clock.now_s = 1.0
    tick_until(saver, lambda: saver.is_saving_ok)
    assert [store.is_new for store in heard] == [False]
    assert (heard[0].allowed(), list(heard[0].bans())) == ([ALLOWED], [BAN])
    assert saver.close()


def test_a_file_that_vanishes_is_made_anew_and_filled_by_the_owner(path: Path, clock: Clock) -> None:
    """The owner puts again what it holds; nothing was left in a file without a name."""
    bans = many(10)

    def refill(store: Store) -> None:
        assert store.is_new
        for ban in bans:
            ours.put_ban(ban)

    ours = Saver(path, refill, clock=clock)
    ours.open()
    for ban in bans:
        ours.put_ban(ban)
    assert ours.flush()
    path.unlink()
    ours.put_ban(BAN)
    tick_until(ours, lambda: not ours.is_saving_ok)
    assert "was removed" in ours.trouble
    clock.now_s = 1.0
    tick_until(ours, lambda: ours.is_saving_ok and ours.pending == 0)
    assert ours.close()
    store = Store.open(path)
    assert sum(1 for _ in store.bans()) == 11
    store.close()


def test_a_damaged_file_is_told_at_the_start(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once in the log, and in the notices as long as the daemon lives."""
    path.write_text("no database " * 1000)
    saver = Saver(path)
    assert saver.open() is not None
    assert len(saver.notices) == 1
    assert saver.notices[0] in caplog.text
    assert saver.close()


def test_the_history_is_purged_by_the_worker(saver: Saver) -> None:
    """Asked for once, it is done with the next write or without one."""
    for number in range(10):
        saver.add_offence(msgspec.structs.replace(OFFENCE, time_s=float(number)))
    assert saver.flush()
    saver.purge(3.0, 5)
    store = saver.store
    assert store is not None
    tick_until(saver, lambda: [offence.time_s for offence in store.offences(0.0)] == [5.0, 6.0, 7.0, 8.0, 9.0])


def test_closing_writes_what_is_pending(path: Path) -> None:
    """Nothing waits for a next second that does not come, and no log is left beside the file."""
    saver = Saver(path)
    saver.open()
    saver.put_ban(BAN)
    assert saver.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["nodewarden.db", "nodewarden.db.copy"]
    store = Store.open(path)
    assert list(store.bans()) == [BAN]
    store.close()


def test_without_a_thread_all_changes_stay_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no thread when saving starts: `trouble` says so; once there is one each change is saved once."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        saver = Saver(tmp_path / "nodewarden.db")
        saver.open()
        saver.save_cursor("kernel_log", Cursor("", 7))
        assert not saver.flush()
        assert "no thread" in saver.trouble
        assert saver.pending == 1
    assert saver.flush()
    assert saver.written_total == 1
    assert saver.load_cursors()["kernel_log"].position == 7
    saver.close()


def test_the_loop_works_on_while_an_order_is_saved(saver: Saver, disk: Disk) -> None:
    """A slow disk keeps only the order waiting; it is answered when it is on disk, or when that takes too long."""
    disk.go.clear()
    turns: list[int] = []

    async def tick() -> None:
        while True:
            saver.tick()
            turns.append(len(turns))
            await asyncio.sleep(0.001)

    async def run() -> tuple[bool, bool, bool]:
        ticking = asyncio.ensure_future(tick())
        saver.put_ban(BAN)
        slow = await saver.save_now(timeout_s=0.5)
        is_pending = saver.pending == 1
        disk.go.set()
        saved = await saver.save_now()
        ticking.cancel()
        return slow, is_pending, saved

    assert asyncio.run(run()) == (False, True, True)
    assert saver.pending == 0
    assert len(turns) > 3


def test_the_copy_follows_what_matters(saver: Saver, path: Path, clock: Clock) -> None:
    """A minute after a ban the second copy has it; cursors alone are not worth a copy."""
    copy = path.with_name("nodewarden.db.copy")
    tick_until(saver, lambda: copy.exists() and saver.copier._job is None)
    first = copy.read_bytes()
    saver.put_ban(BAN)
    tick_until(saver, lambda: not saver.pending)
    saver.tick()
    assert copy.read_bytes() == first
    clock.now_s += 61
    tick_until(saver, lambda: copy.read_bytes() != first and saver.copier._job is None)
    second = copy.stat().st_ino
    saver.save_cursor("journal", Cursor("", "x"))
    tick_until(saver, lambda: not saver.pending)
    clock.now_s += 61
    for _ in range(5):
        saver.tick()
    assert copy.stat().st_ino == second


def _open_unchecked(path: Path) -> Store:
    """Open a store as a process that did so before the damage."""
    return Store(path, Opened(connect(path), is_new=False, notices=[]))


def test_damage_found_while_running_is_repaired(path: Path, clock: Clock) -> None:
    """A row that changed on the disk: the file is replaced, what it lost comes from the copy, and the owner is told."""
    opened: list[Store] = []
    saver = Saver(path, opened.append, clock=clock)
    saver.open()
    saver.put_ban(BAN)
    assert saver.flush()
    copy = path.with_name("nodewarden.db.copy")
    tick_until(saver, lambda: copy.exists() and saver.copier._job is None)  # the clock must not be set while it copies
    assert saver.store is not None
    saver.store.close()
    content = path.read_bytes()
    assert content.count(b"15 distinct") == 1
    path.write_bytes(content.replace(b"15 distinct", b"95 distinct"))
    saver.store = _open_unchecked(path)
    saver.copier.want()
    clock.now_s += 61
    tick_until(saver, lambda: bool(saver.trouble))
    clock.now_s += 2
    tick_until(saver, lambda: bool(opened))
    assert list(opened[0].bans()) == [BAN]
    assert not opened[0].is_new
    assert "set aside" in " ".join(saver.notices)
    assert saver.is_saving_ok
    saver.close()


def test_a_file_that_is_replaced_is_noticed_without_a_write(path: Path, clock: Clock) -> None:
    """A file system mounted over the directory: the file in it is opened, and the owner is told."""
    opened: list[Store] = []
    saver = Saver(path, opened.append, clock=clock)
    saver.open()
    other = path.with_name("other.db")
    store = Store.open(other)
    store.write(changes(BAN))
    store.close()
    other.replace(path)
    tick_until(saver, lambda: bool(saver.trouble))
    clock.now_s += 2
    tick_until(saver, lambda: bool(opened))
    assert list(opened[0].bans()) == [BAN]
    saver.close()
