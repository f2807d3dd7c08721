"""What was saved comes back whenever it can be read, and whatever the clock says at the start."""

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from monitor.bans.merge import RESTORED
from monitor.daemon.life.clock_trust import ClockTrust
from monitor.daemon.life.state import State
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from monitor.state.store import Store
from tests.kernel.conftest import Site
from tests.support.daemon import wait_for
from tests.support.lab import Lab
from tests.unit.bans.store_support import by_hand

pytestmark = pytest.mark.kernel

_YEARS_S = 10 * 365 * 86400.0
_BANTIMES_S = {"192.0.2.1": 7200.0, "192.0.2.2": 600.0, "198.51.100.0/24": 7200.0, "203.0.113.0/24": 600.0}
_LONG = {network for network, bantime_s in _BANTIMES_S.items() if bantime_s > 1800}


class Clock:
    """The wall clock of this process, which tests set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.offset_s = 0.0
        real = time.time
        patch.setattr(time, "time", lambda: real() + self.offset_s)


class Life:
    """Stages, store and state of a daemon without its loop."""

    def __init__(self, directory: Path) -> None:
        self.saver = Saver(directory / "nodewarden.db", self._opened, open_first=partial(Store.open, checks_bans=False))
        self.enforcer = NftablesEnforcer(max_bans=100)
        self.pipeline = Pipeline(
            Settings(),
            (),
            lambda ledger, allowlist: Enforcement(NftablesTable(self.enforcer, ledger, allowlist)),
            (DecisionRecord(self.saver),),
        )
        self.state = State(self.saver, self.pipeline, ClockTrust(self.saver, lambda: False))
        self.state.open()
        self.state.restore()

    def _opened(self, store: Store) -> None:
        self.state.opened(store)

    def ban(self) -> None:
        """Ban all networks."""
        draft = self.pipeline.policy.draft(time.time())
        for text, bantime_s in _BANTIMES_S.items():
            self.pipeline.policy.order(draft, parse_network(text), Strength.PROVEN, bantime_s, f"ordered {text}")
        assert [one.failure for one in self.pipeline.bans.carry_out(draft)] == [""] * len(_BANTIMES_S)

    def tick(self) -> None:
        """Let a second pass."""
        self.pipeline.tick(time.time())
        for part in self.state.tick_parts(time.time()).values():
            part()

    def ticks_with_a_store(self) -> bool:
        """Let a second pass; whether the store works."""
        self.tick()
        return self.saver.is_saving_ok

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self.pipeline.enforcers.close()
        self.state.close(10)

    def in_ledger(self) -> dict[str, float]:
        """Return the seconds that bans have left, according to the ledger."""
        return {str(ban.network): ban.until_s - time.time() for ban in self.pipeline.ledger.bans()}

    def in_kernel(self) -> dict[str, float]:
        """Return the seconds that bans have left in the kernel."""
        return {str(one.network): one.timeout_s or 0.0 for one in self.enforcer.elements()}

    def set_clock(self, clock: Clock, offset_s: float) -> None:
        """Set the clock, and notice it as the daemon does."""
        before_s = time.time()
        step_s, clock.offset_s = offset_s - clock.offset_s, offset_s
        self.state.follow_clock(step_s, before_s + step_s, time.time())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of this process."""
    return Clock(monkeypatch)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Return an empty directory, inside the network namespace of a host."""
    with Lab("node", label="state") as lab, lab["node"].entered():
        yield tmp_path


def _reboot(life: Life) -> None:
    life.stop()
    enforcer = NftablesEnforcer(max_bans=100)
    enforcer.flush()
    enforcer.close()


@pytest.mark.parametrize("off_s", [_YEARS_S, -_YEARS_S])
def test_a_clock_that_is_years_off_at_boot_ends_no_ban_and_prolongs_none(
    directory: Path, clock: Clock, off_s: float
) -> None:
    """Bans keep what they had left; when the clock is set, half an hour after the stop, they have their own ends."""
    life = Life(directory)
    life.ban()
    _reboot(life)
    clock.offset_s = off_s
    life = Life(directory)
    for left in (life.in_ledger(), life.in_kernel()):
        assert left == pytest.approx(_BANTIMES_S, abs=10)
    life.tick()
    assert "the clock is 3650 days" in life.state.clock.problems()[0]
    life.set_clock(clock, 1800.0)
    life.tick()
    life.tick()
    assert life.state.clock.problems() == []
    wanted = {network: _BANTIMES_S[network] - 1800 for network in _LONG}
    for left in (life.in_ledger(), life.in_kernel()):
        assert left == pytest.approx(wanted, abs=10)
    _reboot(life)
    life = Life(directory)
    assert life.in_kernel() == pytest.approx(wanted, abs=10)
    assert life.saver.store is not None
    assert len(list(life.saver.store.offences(0.0))) == len(_BANTIMES_S)
    life.stop()


def test_a_kill_before_the_clock_is_set_costs_nothing(directory: Path, clock: Clock) -> None:
    """The saved times stay those of the believed clock: another boot, then with the right time, finds them."""
    life = Life(directory)
    life.ban()
    _reboot(life)
    clock.offset_s = _YEARS_S
    life = Life(directory)
    life.tick()
    assert life.saver.flush()
    _reboot(life)
    clock.offset_s = 60.0
    life = Life(directory)
    assert life.in_kernel() == pytest.approx({n: s - 60 for n, s in _BANTIMES_S.items()}, abs=10)
    life.stop()


def test_what_was_flushed_while_the_store_was_locked_does_not_come_back(directory: Path) -> None:
    """`flush` ends the bans that nobody could read as well; a ban ordered after it stays."""
    life = Life(directory)
    life.ban()
    _reboot(life)
    lock = sqlite3.connect(directory / "nodewarden.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    life = Life(directory)
    life.pipeline.bans.flush(time.time())
    draft = life.pipeline.policy.draft(time.time())
    life.pipeline.policy.order(draft, parse_network("192.0.2.9"), Strength.PROVEN, 900.0, "after")
    life.pipeline.bans.carry_out(draft)
    lock.execute("ROLLBACK")
    lock.close()
    wait_for(life.ticks_with_a_store, "the store")
    assert life.in_kernel().keys() == life.in_ledger().keys() == {"192.0.2.9"}
    life.stop()


def test_a_ban_that_ended_does_not_come_back_with_the_second_copy(directory: Path) -> None:
    """The file is damaged while the daemon runs: what replaces it follows the ledger, not the older copy."""
    life = Life(directory)
    life.ban()
    assert life.saver.flush()
    assert life.saver.store is not None
    life.saver.store.copy()
    life.stop()
    life = Life(directory)
    life.pipeline.bans.unban([parse_network("192.0.2.1")], time.time())
    assert life.saver.flush()
    life.saver.distrust("damaged")
    (directory / "nodewarden.db").write_bytes(b"garbage" * 10_000)
    wait_for(life.ticks_with_a_store, "the store")
    assert life.saver.flush()
    wanted = _BANTIMES_S.keys() - {"192.0.2.1"}
    assert life.saver.store is not None
    assert {str(ban.network) for ban in life.saver.store.bans()} == life.in_kernel().keys() == wanted
    assert len(list(life.saver.store.offences(0.0))) == len(_BANTIMES_S)
    life.stop()


def test_a_store_that_fails_while_it_is_read_costs_no_ban(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the fault is in the kernel at once, and the rest as soon as it can be read."""
    life = Life(directory)
    life.ban()
    _reboot(life)
    read = Store.ban_batches

    def fail(store: Store) -> Iterator[list[Ban]]:
        yield list(itertools.islice(itertools.chain.from_iterable(read(store)), 3))
        raise TemporaryError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "ban_batches", fail)
        life = Life(directory)
    assert life.in_kernel().keys() == life.in_ledger().keys() == {"192.0.2.1", "192.0.2.2"}
    wait_for(life.ticks_with_a_store, "the store")
    assert life.in_kernel().keys() == life.in_ledger().keys() == _BANTIMES_S.keys()
    life.stop()


@pytest.mark.parametrize("is_reboot", [False, True])
def test_a_row_that_was_damaged_costs_no_ban(directory: Path, is_reboot: bool) -> None:
    """It is found while bans are being restored: the file is replaced at once, the row is that of the second copy."""
    life = Life(directory)
    life.ban()
    if is_reboot:
        _reboot(life)
    else:
        life.stop()
    by_hand(directory / "nodewarden.db", "UPDATE bans SET reason = 'no' WHERE address = x'c0000202'")
    life = Life(directory)
    assert life.in_kernel().keys() == life.in_ledger().keys() == _BANTIMES_S.keys()
    assert {(one.detector, one.reason.split()[0]) for one in life.pipeline.ledger.all_claims()} == {
        ("manual", "ordered")
    }
    assert "do not match their checksums" in " ".join(life.saver.notices)
    assert life.saver.is_saving_ok
    life.stop()


def _counted(site: Site) -> int:
    """Return how many ports of the attacker are in the saved window."""
    with closing(sqlite3.connect(site.daemon.configuration_path.parent / "state/nodewarden.db")) as connection:
        found = connection.execute("SELECT content FROM windows WHERE name = 'port_scan'").fetchone()
    windows = msgspec.msgpack.decode(found[0])[2] if found else [[]]
    key = bytes(map(int, site.attacker.address4.split(".")))
    return sum(row[0] == key for row in windows[0])


def test_killing_the_guard_forgives_no_scan(site: Site) -> None:
    """14 of 15 ports, kill -9 after they were saved, and one more port after the restart: banned for 15 ports."""

    def probe(ports: str) -> None:
        site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", ports, site.node.address4)

    site.daemon.start()
    probe("100-113")
    wait_for(lambda: _counted(site) == 14, "the window to be saved", lambda: site.daemon.log, timeout_s=20)
    assert site.banned() == []
    assert site.daemon.process is not None
    site.daemon.process.kill()
    site.daemon.process.wait(5)
    site.daemon.start()
    assert site.banned() == []
    probe("114")
    wait_for(lambda: site.banned() == [site.attacker.address4], "the ban", lambda: site.daemon.log)
    assert "15 distinct ports" in site.daemon.ask("list")[0]["reason"]


@pytest.mark.parametrize("is_rebooted", [True, False])
def test_a_store_that_is_locked_at_the_start_is_read_later(directory: Path, is_rebooted: bool) -> None:
    """Its bans are in force as soon as it can be read, with their reasons; what was ordered meanwhile stays."""
    life = Life(directory)
    life.ban()
    if is_rebooted:
        _reboot(life)
    else:
        life.stop()
    lock = sqlite3.connect(directory / "nodewarden.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    life = Life(directory)
    assert not life.saver.is_saving_ok
    assert life.in_ledger().keys() == (set() if is_rebooted else _BANTIMES_S.keys())
    draft = life.pipeline.policy.draft(time.time())
    life.pipeline.policy.order(draft, parse_network("192.0.2.9"), Strength.PROVEN, 900.0, "meanwhile")
    life.pipeline.bans.carry_out(draft)
    lock.execute("ROLLBACK")
    lock.close()
    wait_for(life.ticks_with_a_store, "the store")
    wanted = {**_BANTIMES_S, "192.0.2.9": 900.0}
    for left in (life.in_ledger(), life.in_kernel()):
        assert left == pytest.approx(wanted, abs=20)
    claims = list(life.pipeline.ledger.all_claims())
    assert {claim.reason for claim in claims} == {"meanwhile", *(f"ordered {text}" for text in _BANTIMES_S)}
    assert RESTORED not in {claim.detector for claim in claims}
    life.stop()
    life = Life(directory)
    assert life.in_ledger() == pytest.approx(wanted, abs=20)
    life.stop()
