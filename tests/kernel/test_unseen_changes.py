"""What others change while a start writes the table is reverted at once, although no notification tells it."""

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from monitor.daemon.life.table_watch import TableWatch
from monitor.enforcers.nftables.keeper import TableKeeper
from monitor.enforcers.nftables.large_sets import LargeSets
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.state.store import Store
from tests.kernel.test_state import Life, directory
from tests.unit.bans.store_support import changes

__all__ = ["directory"]
pytestmark = pytest.mark.kernel

_BANNED = [*(f"192.0.2.{number}" for number in range(80)), "198.51.100.0/24", "2001:db8::1", "2001:db8:1::/48"]
_BEFORE, _AFTER = "before", "after"
_CHANGES = {
    "set flushed": "flush set inet nodewarden ban4",
    "prefixes flushed": "flush set inet nodewarden ban4_nets",
    "one deleted": "delete element inet nodewarden ban4 { 192.0.2.7 }",
    "set of IPv6 flushed": "flush set inet nodewarden ban6",
}


def _nft(command: str) -> None:
    subprocess.run(["nft", command], check=True)


@pytest.fixture
def saved(directory: Path) -> Path:
    """Return the directory of a store with bans, none of which is in the kernel."""
    now_s = time.time()
    store = Store.open(directory / "nodewarden.db")
    store.write(changes(*(Ban(parse_network(one), Strength.PROVEN, now_s, now_s + 7200, "x", "y") for one in _BANNED)))
    store.close()
    return directory


class _Watched:
    """A daemon that has just started, and the watch of its table, which compares nothing regularly."""

    def __init__(self, directory: Path) -> None:
        self.life = Life(directory)
        self.table = cast("NftablesTable", self.life.pipeline.table)
        self.keeper = TableKeeper(self.table, self.life.enforcer, self.life.pipeline.ledger)
        self.changed: Counter[tuple[str, str]] = Counter()
        self.table.on_drift = self.changed.update
        self.compared: list[str] = []
        self._watch = TableWatch(self.keeper, self.table.ports, self._failed, 3600.0)

    def _failed(self, what: str, error: Exception) -> None:
        raise AssertionError(what) from error

    def run(self, until: Callable[[], bool]) -> None:
        """Watch until something is so."""

        async def run() -> None:
            self._watch.open()
            self._watch.attach(asyncio.get_running_loop())
            try:
                async with asyncio.timeout(20):
                    while not until():
                        await asyncio.sleep(0.05)
            finally:
                self._watch.close()

        asyncio.run(run())

    def is_right(self) -> bool:
        """Whether all bans are in the kernel."""
        return self.life.in_kernel().keys() == self.life.in_ledger().keys() == set(_BANNED)


def _changing(patch: pytest.MonkeyPatch, when: str, command: str) -> None:
    """Have another program change nf_tables around the filling of the sets."""
    fill = NftablesTable.fill

    def fill_and_change(table: NftablesTable, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        if when == _BEFORE:
            _nft(command)
        failures = fill(table, bans, now_s)
        if when == _AFTER:
            _nft(command)
        return failures

    patch.setattr(NftablesTable, "fill", fill_and_change)


@pytest.mark.parametrize("change", _CHANGES)
def test_a_set_that_is_changed_while_it_is_filled_is_right_at_once(
    saved: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """As soon as the loop runs, and not with the comparison of this set, minutes later."""
    _changing(monkeypatch, _AFTER, _CHANGES[change])
    watched = _Watched(saved)
    assert not watched.is_right()
    watched.run(watched.is_right)
    assert {kind for kind, _ in watched.changed} == {"element_gone"}
    watched.life.stop()


@pytest.mark.parametrize("change", _CHANGES)
def test_bans_that_were_in_the_kernel_are_not_taken_for_granted(
    saved: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The sets were listed and found right; then another program changed them before the start was over."""
    first = _Watched(saved)
    assert first.is_right()
    first.life.stop()
    held = NftablesTable.held

    def held_and_changed(table: NftablesTable, *arguments: object) -> Iterator[object]:
        found = list(held(table, *arguments))  # type: ignore[arg-type]
        _nft(_CHANGES[change])
        return iter(found)

    monkeypatch.setattr(NftablesTable, "held", held_and_changed)
    watched = _Watched(saved)
    watched.run(watched.is_right)
    watched.life.stop()


def test_a_start_that_is_alone_compares_nothing(saved: Path) -> None:
    """Transactions of our own are no others': without a table, with one, and without bans."""
    for _ in range(2):
        watched = _Watched(saved)
        assert watched.is_right()
        assert not watched.keeper.others_changed()
        watched.life.stop()


def test_large_sets_are_counted_at_once_and_listed_at_their_next_turn(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another table is most often what others change: a million bans are not listed for that at once."""
    asked: list[bool] = []
    distrusted: list[bool] = []

    def is_alike(*_: object) -> bool:
        asked.append(bool(distrusted))
        return True

    monkeypatch.setattr(LargeSets, "is_alike", is_alike)
    monkeypatch.setattr(LargeSets, "distrust", lambda _: distrusted.append(True))
    _changing(monkeypatch, _BEFORE, "add table inet somebody; delete table inet somebody")
    watched = _Watched(saved)
    watched.run(lambda: bool(distrusted))
    assert asked == [False] * 12
    assert watched.changed == {}
    watched.life.stop()
