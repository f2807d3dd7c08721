"""When the table is compared: always part by part, at once on suspicion, and never silently not at all."""

import asyncio
import errno
import itertools
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from monitor.daemon.life import table_watch
from monitor.daemon.life.table_watch import TableWatch
from monitor.enforcers.nftables.contents import Reading
from monitor.enforcers.nftables.keeper import ALLOWLIST, DEFINITION, PARTS, TableKeeper
from monitor.enforcers.nftables.kernel_generation import KernelGeneration
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError


class _Keeper:
    """Notes what is compared and written anew; fails as told."""

    is_needed = True
    is_changed = False
    lists_large_at: int | None = None
    allowlist: tuple[str, ...] = ()
    bans: tuple[object, ...] = ()
    reading: list[str] | Reading = Reading([], [], 0, is_exact=True)

    def __init__(self, fail: Callable[[str], None] = lambda _: None) -> None:
        self.suspects: dict[str, None] = {}
        self.compared: list[str] = []
        self.rewritten: list[str] = []
        self.faults: dict[str, str] = {}
        self._fail = fail

    def snapshot(self) -> tuple[object, ...]:
        return self.bans

    def read(self, part: str, bans: object, *, is_suspect: bool) -> list[str] | Reading:
        self.compared.append(part)
        self._fail(part)
        return self.reading

    def judge(self, part: str, reading: object, now_s: float) -> Iterator[None]:
        yield

    def rewrite(self, part: str, now_s: float) -> None:
        self.rewritten.append(part)

    def fault(self, part: str, text: str) -> None:
        self.faults[part] = text

    def others_changed(self) -> bool:
        return self.is_changed

    def list_large_sets(self) -> None:
        self.lists_large_at = len(self.compared)


class _Watch:
    """Notifications that never come."""

    def __init__(self, ports: object, changes: object) -> None:
        pass

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        pass


class _Generation(KernelGeneration):
    """A kernel that says how often nf_tables was changed, or nothing."""

    def __init__(self, number: int | None = None) -> None:
        self.number = number

    def read(self) -> int | None:
        return self.number

    def close(self) -> None:
        pass


def _run(
    keeper: _Keeper,
    until: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    add_reader: Callable[..., None] = lambda *_: None,
    generation: KernelGeneration | None = None,
    pause_s: float = 0.0,
) -> list[tuple[str, Exception]]:
    """Watch until something is so; return the faults of our own that were reported."""
    monkeypatch.setattr(table_watch, "DriftWatch", _Watch)
    faults: list[tuple[str, Exception]] = []

    async def run() -> None:
        watch = TableWatch(
            cast("TableKeeper", keeper), (), lambda *fault: faults.append(fault), pause_s, generation or _Generation()
        )
        watch.open()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_reader", add_reader)
        monkeypatch.setattr(loop, "remove_reader", lambda *_: None)
        watch.attach(loop)
        try:
            async with asyncio.timeout(30):
                while not until():
                    await asyncio.sleep(0)
                    try:
                        watch.tick()
                    except ArithmeticError as error:
                        faults.append(("tick", error))
        finally:
            watch.close()

    asyncio.run(run())
    return faults


def test_every_part_is_compared_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One set after the other, rules and allowlist before each of them."""
    keeper = _Keeper()
    _run(keeper, lambda: len(keeper.compared) > 2 * 3 * len(PARTS[2:]), monkeypatch)
    assert keeper.compared[: 3 * len(PARTS[2:])] == [part for name in PARTS[2:] for part in (*PARTS[:2], name)]
    assert keeper.rewritten == []


@pytest.mark.parametrize("is_due", [False, True])
def test_a_tick_has_it_compared_when_it_is_due(is_due: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; what is compared then needs no timer, which alone would wake a daemon that rests."""
    monkeypatch.setattr(table_watch, "_SOON", 1e-9 if is_due else 1e9)
    keeper, ticks = _Keeper(), itertools.count()

    def until() -> bool:
        return bool(keeper.compared) or (not is_due and next(ticks) > 1000)

    _run(keeper, until, monkeypatch, pause_s=60.0)
    assert bool(keeper.compared) == is_due


def _rounds(
    keeper: _Keeper,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[_Generation], object],
    generation: int | None = 7,
) -> list[str]:
    """Return what is read in the rounds after something changed, when all had been read before."""
    number, rounds = _Generation(generation), 0
    pause, all_parts = TableWatch._pause, len(PARTS[2:])

    async def counted(watch: TableWatch) -> None:
        nonlocal rounds
        rounds += 1
        await pause(watch)

    def until() -> bool:
        nonlocal rounds
        if rounds > all_parts and not before:
            before.append(len(keeper.compared))
            change(number)
            rounds = 0
        return bool(before) and rounds > all_parts + 2

    before: list[int] = []
    monkeypatch.setattr(TableWatch, "_pause", counted)
    _run(keeper, until, monkeypatch, generation=number)
    monkeypatch.setattr(TableWatch, "_pause", pause)
    return keeper.compared[before[0] :]


def _another_ban(keeper: _Keeper) -> None:
    keeper.bans = (*keeper.bans, object())


def test_what_nobody_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, allowlist and sets are read when the kernel's number of changes is another one; then each of them once."""
    assert _rounds(_Keeper(), monkeypatch, lambda _: None) == []
    assert sorted(_rounds(_Keeper(), monkeypatch, lambda number: setattr(number, "number", 8))) == sorted(PARTS)


def test_sets_are_read_again_for_other_bans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing them may have failed: then nobody changed nf_tables, and the kernel lacks them."""
    keeper = _Keeper()
    assert sorted(_rounds(keeper, monkeypatch, lambda _: _another_ban(keeper))) == sorted(PARTS[2:])


def test_sets_of_many_bans_are_always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to keep a list of them for each set."""
    keeper = _Keeper()
    keeper.bans = (object(),) * (table_watch._FEW_BANS + 1)
    read = _rounds(keeper, monkeypatch, lambda _: None)
    assert set(read) == set(PARTS[2:])
    assert len(read) > len(PARTS[2:])


def test_an_allowlist_that_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing it may have failed: then nobody changed nf_tables, and the kernel still has the former one."""
    keeper = _Keeper()
    read = _rounds(keeper, monkeypatch, lambda _: setattr(keeper, "allowlist", ("192.0.2.0/24",)))
    assert read == [DEFINITION, ALLOWLIST]


def test_what_was_read_long_ago_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the kernel says of changes."""
    for name, parts in (("_READ_EVERY_S", PARTS[:2]), ("_READ_SETS_EVERY_S", PARTS[2:])):
        with monkeypatch.context() as changed:
            changed.setattr(table_watch, name, -1.0)
            assert set(_rounds(_Keeper(), changed, lambda _: None)) == set(parts)


@pytest.mark.parametrize(
    "reading",
    [
        ["the chain ban changed"],
        Reading([cast("Ban", None)], [], 0, is_exact=True),
        Reading([], [(b"", b"", None)], 0, is_exact=True),
        Reading([], [], 1, is_exact=True),
    ],
)
def test_what_is_not_as_it_should_be_is_read_again(reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair that failed, or did not help, and elements of others are not taken for a set as it should be."""
    keeper = _Keeper()
    keeper.reading = reading
    assert set(_rounds(keeper, monkeypatch, lambda _: None)) == set(PARTS)
    keeper.reading = Reading([], [], 0, is_exact=True)
    assert _rounds(keeper, monkeypatch, lambda _: None) == []


def test_a_kernel_that_counts_no_changes_is_read_always(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(_rounds(_Keeper(), monkeypatch, lambda _: None, generation=None)) == set(PARTS)


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


def test_what_others_changed_unseen_is_compared_first_and_suspected_if_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All parts once, after a start during which others changed nf_tables; large sets are listed when that is done."""

    def busy(part: str) -> None:
        if part == "ban4_nets" and keeper.lists_large_at is None:
            raise TemporaryError("nf_tables kept changing")

    keeper = _Keeper(busy)
    keeper.is_changed = True
    _run(keeper, lambda: len(keeper.compared) > len(PARTS) + 6, monkeypatch)
    assert keeper.compared[: len(PARTS)] == list(PARTS)
    assert keeper.lists_large_at == len(PARTS)
    assert keeper.compared[len(PARTS) :].index("ban4_nets") <= 3
    assert keeper.rewritten == []


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


def test_a_loop_that_cannot_wait_for_notifications_is_a_fault_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons find changes meanwhile, all parts are suspected once it works, and nothing is written anew."""
    refusals = [OSError(errno.ENOMEM, "no memory")] * 3
    faults: list[str] = []

    def add_reader(*_: object) -> None:
        faults.append(keeper.faults["notifications"])
        if refusals:
            raise refusals.pop()

    keeper = _Keeper()
    _run(keeper, lambda: not refusals and not keeper.faults["notifications"], monkeypatch, add_reader)
    assert [bool(one) for one in faults] == [False, True, True, True]
    assert {*PARTS} <= {*keeper.compared}
    assert keeper.rewritten == []


def test_a_fault_of_our_own_is_reported_and_the_comparison_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a part, all others are compared; in between, the comparison starts again."""

    def fail(part: str) -> None:
        if part == ALLOWLIST:
            raise ZeroDivisionError

    keeper = _Keeper(fail)
    assert {name for name, _ in _run(keeper, lambda: {*PARTS} <= {*keeper.compared}, monkeypatch)} == {
        "comparing allowlist of the table"
    }
    broken = [True]

    async def pause(_: TableWatch) -> None:
        await asyncio.sleep(0)
        if broken:
            broken.clear()
            raise ZeroDivisionError

    keeper = _Keeper()
    monkeypatch.setattr(TableWatch, "_pause", pause)
    faults = _run(keeper, lambda: {*PARTS} <= {*keeper.compared}, monkeypatch)
    assert [name for name, _ in faults] == ["tick"]


def test_what_cannot_be_read_is_not_written_anew_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own writing may overrun the buffer of notifications, too: what that makes suspicious waits for its turn."""

    def busy(_: str) -> None:
        raise TemporaryError("nf_tables kept changing")

    class Overrunning(_Keeper):
        def rewrite(self, part: str, now_s: float) -> None:
            super().rewrite(part, now_s)
            self.suspects |= dict.fromkeys(PARTS)

    monkeypatch.setattr(table_watch, "_BUSY_SHARE", 1e9)
    keeper = Overrunning(busy)
    keeper.suspects = dict.fromkeys(PARTS)
    _run(keeper, lambda: len(keeper.compared) > 3 * len(PARTS), monkeypatch)
    assert keeper.rewritten == list(PARTS)
    assert len({*PARTS} - keeper.suspects.keys()) <= 1  # the one that is just compared


def test_nothing_is_asked_where_no_table_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while it observes: nor is there a socket to ask the kernel over."""
    keeper, generation = _Keeper(), _Generation(7)
    keeper.is_needed = False
    monkeypatch.setattr(generation, "read", lambda: pytest.fail("it was asked"))
    polls = itertools.count()
    assert _run(keeper, lambda: next(polls) > 200, monkeypatch, generation=generation) == []
    assert keeper.compared == []
