"""Bans that were saved are in force where the kernel does not take them at first: no room, or no table any more."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin
from monitor.model.errors import TemporaryError
from monitor.state.store import Store
from tests.kernel.test_state import Life, directory
from tests.unit.bans.store_support import changes

__all__ = ["directory"]
pytestmark = pytest.mark.kernel

_COUNT, _FEWER = 80, 30


def _stored() -> Iterator[Ban]:
    """Yield bans of detectors, then as many by hand, which are stronger and end earlier; in the order of the store."""
    now_s = time.time()
    for number in range(_COUNT):
        network = host(bytes((198, 51, 100, number)))
        if number < _COUNT // 2:
            yield Ban(network, Strength.PROVEN, now_s, now_s + 7200.0, "port_scan", "scan")
        else:
            yield Ban(network, Strength.PROVEN, now_s, now_s + 3600.0, "manual", "ordered", origin=ClaimOrigin.OPERATOR)


@pytest.mark.parametrize("is_held", [False, True])
def test_the_strongest_bans_stay_where_there_is_no_room_for_all(directory: Path, is_held: bool) -> None:
    """Neither weaker bans that were in the set before them, nor those that it kept as it shrank, keep them out."""
    store = Store.open(directory / "nodewarden.db")
    store.write(changes(*_stored()))
    store.close()
    if is_held:
        life = Life(directory)
        assert len(life.in_kernel()) == _COUNT
        life.stop()
    life = Life(directory, _FEWER)
    life.tick()
    claims = list(life.pipeline.ledger.all_claims())
    assert [claim.origin for claim in claims] == [ClaimOrigin.OPERATOR] * _FEWER
    assert life.in_kernel().keys() == life.in_ledger().keys()
    assert life.saver.flush()
    assert life.saver.store is not None
    assert {str(ban.network) for ban in life.saver.store.bans()} == life.in_ledger().keys()
    life.stop()


def test_a_table_that_is_deleted_while_it_is_filled_is_filled_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the store: state is being saved all the time."""
    store = Store.open(directory / "nodewarden.db")
    store.write(changes(*_stored()))
    store.close()
    fill = NftablesTable.fill
    flushed: list[int] = []

    def fill_after_flush(table: NftablesTable, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        if not flushed:
            flushed.append(len(bans))
            other = NftablesEnforcer(max_bans=100)
            other.flush()
            other.close()
        return fill(table, bans, now_s)

    monkeypatch.setattr(NftablesTable, "fill", fill_after_flush)
    life = Life(directory)
    assert flushed == [_COUNT]
    assert life.saver.is_saving_ok
    assert life.saver.failures_total == 0
    assert len(life.in_kernel()) == len(life.in_ledger()) == _COUNT
    life.stop()


def test_filling_that_keeps_failing_is_a_problem_until_it_succeeds(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon starts, says so, and tries again each second."""
    store = Store.open(directory / "nodewarden.db")
    store.write(changes(*_stored()))
    store.close()

    def fail(*_: object) -> list[Failure]:
        raise TemporaryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(NftablesTable, "fill", fail)
        life = Life(directory)
        assert "no memory" in life.pipeline.table.faults["set_up"]
    life.tick()
    assert life.pipeline.table.faults.get("set_up", "") == ""
    assert len(life.in_kernel()) == len(life.in_ledger()) == _COUNT
    life.stop()
