"""When the table is compared: always part by part, at once on suspicion, and never silently not at all."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from monitor.daemon.life import table_watch
from monitor.daemon.life.table_watch import TableWatch
from monitor.enforcers.nftables.keeper import ALLOWLIST, DEFINITION, PARTS, TableKeeper
from monitor.model.errors import TemporaryError


class _Keeper:
    """Notes what is compared and written anew; fails as told."""

    is_needed = True

    def __init__(self, fail: Callable[[str], None] = lambda _: None) -> None:
        self.suspects: dict[str, None] = {}
        self.compared: list[str] = []
        self.rewritten: list[str] = []
        self.faults: dict[str, str] = {}
        self._fail = fail

    def snapshot(self) -> tuple[()]:
        return ()

    def read(self, part: str, bans: object) -> list[str]:
        self.compared.append(part)
        self._fail(part)
        return []

    def judge(self, part: str, reading: object, now_s: float) -> Iterator[None]:
        yield

    def rewrite(self, part: str, now_s: float) -> None:
        self.rewritten.append(part)

    def fault(self, part: str, text: str) -> None:
        self.faults[part] = text


class _Watch:
    """Notifications that never come."""

    def __init__(self, ports: object) -> None:
        pass

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _run(keeper: _Keeper, until: Callable[[], bool], monkeypatch: pytest.MonkeyPatch, pause_s: float = 0.0) -> None:
    monkeypatch.setattr(table_watch, "DriftWatch", _Watch)

    async def run() -> None:
        watch = TableWatch(cast("TableKeeper", keeper), (), pause_s)
        watch.open()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_reader", lambda *_: None)
        monkeypatch.setattr(loop, "remove_reader", lambda *_: None)
        watch.attach(loop)
        try:
            async with asyncio.timeout(30):
                while not until():
                    await asyncio.sleep(0)
        finally:
            watch.close()

    asyncio.run(run())


def test_every_part_is_compared_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One set after the other, rules and allowlist before each of them."""
    keeper = _Keeper()
    _run(keeper, lambda: len(keeper.compared) > 2 * 3 * len(PARTS[2:]), monkeypatch)
    assert keeper.compared[: 3 * len(PARTS[2:])] == [part for name in PARTS[2:] for part in (*PARTS[:2], name)]
    assert keeper.rewritten == []


def test_what_is_suspected_is_compared_first_and_written_anew_if_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After lost notifications, all parts before the next regular one; the others go on."""

    def busy(part: str) -> None:
        if part in (DEFINITION, "ban4_nets"):
            raise TemporaryError("nf_tables kept changing")

    keeper = _Keeper(busy)
    keeper.suspects = dict.fromkeys(PARTS)
    _run(keeper, lambda: len(keeper.compared) > len(PARTS), monkeypatch)
    assert keeper.compared[: len(PARTS)] == list(PARTS)
    assert keeper.rewritten == [DEFINITION, "ban4_nets"]
    assert keeper.suspects == {}


@pytest.mark.parametrize(
    "error", [TemporaryError("nf_tables kept changing"), OSError(5, "EIO"), ZeroDivisionError("?")]
)
def test_a_part_that_is_not_compared_for_long_is_a_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever keeps it from being compared, a bug too: the fault names part and reason, and ends with the cause."""
    monkeypatch.setattr(table_watch, "_STALE_S", 0.0)
    broken: list[Any] = [error]

    def fail(part: str) -> None:
        if part == ALLOWLIST and broken:
            raise broken[0]

    keeper = _Keeper(fail)
    _run(keeper, lambda: len(keeper.compared) > 5, monkeypatch)
    assert "allowlist was not compared" in keeper.faults["comparison"]
    monkeypatch.setattr(table_watch, "_STALE_S", 900.0)
    broken.clear()
    _run(keeper, lambda: keeper.faults["comparison"] == "", monkeypatch)
