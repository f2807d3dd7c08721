"""The kernel is filled while the store is still being read."""

import threading
from collections.abc import Sequence

import msgspec
import pytest

from monitor.daemon.life import filling
from monitor.daemon.life.filling import Filling
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import host
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError
from tests.unit.bans.store_support import BAN

BANS = [msgspec.structs.replace(BAN, network=host(bytes((11, 0, 0, number)))) for number in range(200)]


class Table(MemoryLeader):
    """Notes what is asked of it, and by which thread."""

    is_up = False

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails
        self.made: list[str] = []
        self.filled: list[list[Ban]] = []

    def make(self) -> None:
        """Note it."""
        super().make()
        self.made.append(threading.current_thread().name)

    def fill(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Note the bans."""
        assert self.made
        assert now_s == 7.0
        if self.fails:
            raise TemporaryError("no")
        self.filled.append(list(bans))
        return []


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few bans be many."""
    monkeypatch.setattr(filling, "_FIRST", 8)
    monkeypatch.setattr(filling, "_HANDFUL", 32)


def test_few_bans_go_first_and_then_more() -> None:
    """All of them in their order, by a thread, after the table was made."""
    table = Table()
    some = Filling(table, lambda: 7.0)
    with some:
        for ban in BANS[:100]:
            some.add(ban)
        assert some.is_long
        some.add_all(BANS[100:])
    assert some.failures() == []
    assert [len(bans) for bans in table.filled][:3] == [8, 16, 32]
    assert [ban for bans in table.filled for ban in bans] == BANS
    assert [name.startswith("restore") for name in table.made] == [True]


def test_what_fails_is_raised_when_nothing_runs_any_more() -> None:
    """The table is then for the caller's thread again."""
    some = Filling(Table(fails=True), lambda: 7.0)
    with some:
        some.add_all(BANS)
    with pytest.raises(TemporaryError, match="no"):
        some.failures()


def test_an_error_of_the_reader_waits_for_the_kernel() -> None:
    """What was sent is filled, the rest is not: whoever handles the error uses the table next."""
    table = Table()
    some = Filling(table, lambda: 7.0)

    def read() -> None:
        with some:
            some.add_all(BANS[:40])
            some.add_all(BANS[40:42])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert table.filled == [BANS[:40]]


def test_a_table_is_made_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bans then fail as what may pass, and are added to the table later."""
    monkeypatch.setattr("monitor.model.retry.Worker._started", lambda _: None)
    table = Table()
    some = Filling(table, lambda: 7.0)
    with some:
        some.begin()
        some.add(BANS[0])
    assert table.made == ["MainThread"]
    with pytest.raises(TemporaryError, match="thread"):
        some.failures()
