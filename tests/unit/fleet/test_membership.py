"""The daemon's place in a fleet: joins, connects anew, leaves, and keeps what must outlive a restart."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from monitor.daemon.fleet.fleet import Fleet
from monitor.daemon.fleet.kept import node_name
from monitor.daemon.fleet.membership import Membership
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.engine import replay
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.daemon.replay.outcome import OutcomeListener
from monitor.enforcers.enforcement import Enforcement
from monitor.fleet.engine import Change, Kind
from monitor.fleet.records import VERSION, BanRecord, PardonRecord, SharedSet, encode
from monitor.fleet.settings import FleetSettings
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, ClaimOrigin, Mode
from monitor.model.errors import TemporaryError
from monitor.recording.inputs import Input, OrderedBan
from monitor.settings.schema import Settings

A, B = "198.51.100.1", "198.51.100.2"
_FLEET = FleetSettings(url="redis://server", node="one", mode=Mode.ENFORCE)


class _Engine:
    """Connects at once, and ends as the test wants."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.settings = fleet.settings
        self.woken = 0
        self.ended = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def run(self) -> None:
        """Run until the test ends it."""
        self.fleet.connected(0.0)
        try:
            await self.ended
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


class _Inputs(list[Input]):
    def take(self, one: Input) -> None:
        """Record an input."""
        self.append(one)


class _Site:
    """A pipeline whose node may be in a fleet."""

    def __init__(self, fleet: FleetSettings = _FLEET, *, fails: bool = False) -> None:
        self.settings = Settings(fleet=fleet)
        self.failures: list[tuple[str, Exception]] = []
        self.engines: list[_Engine] = []
        self.fails_to_follow = fails
        self.now_s = 1_700_000_000.0
        self.outcomes = OutcomeListener(lambda: self.pipeline.now_s)
        self.inputs = _Inputs()
        self.member = Membership(
            self.settings, "Host.Example", lambda *failure: self.failures.append(failure), self._follow, int, self._make
        )
        self.pipeline = Pipeline(
            self.settings, (), lambda *_: Enforcement(MemoryLeader()), (self.member, self.outcomes)
        )
        self.pipeline.record(self.inputs, "one", "test", self.now_s)

    def _make(self, fleet: Fleet) -> _Engine:
        fleet.work._wall = lambda: self.now_s
        self.engines.append(_Engine(fleet))
        return self.engines[-1]

    def _follow(self) -> None:
        if self.fails_to_follow:
            raise TemporaryError("the kernel has no memory")
        self.pipeline.follow_node(self.member.entries, self.now_s)

    def start(self) -> None:
        """Start as the daemon does."""
        self.member.open(self.pipeline, self.now_s)
        self.member.attach(asyncio.get_running_loop())

    def tick(self) -> None:
        """Let a second's work be done."""
        for part in self.member.tick_parts(self.now_s).values():
            part()

    def hear(self, *networks: str, peer: str = "peer") -> None:
        """Let a peer ban these."""
        assert self.member.fleet is not None
        self.member.fleet.changed(peer, [self.change(one) for one in networks])

    def change(self, network: str) -> Change:
        """Return a ban of a peer."""
        until_s = self.now_s + 3600.0
        record = BanRecord(VERSION, 1, network, SharedSet.BAN, self.now_s, until_s, "sshd", "5 failures")
        return Change(Kind.BAN, f"ban {network}".encode(), encode(record), until_s)

    def enforced(self) -> set[str]:
        """Return what is in force."""
        return {str(one.network) for one in self.pipeline.ledger.all_claims() if one.mode is Mode.ENFORCE}


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_without_a_url_there_is_no_fleet() -> None:
    async def test() -> None:
        site = _Site(FleetSettings())
        site.start()
        site.tick()
        assert (site.engines, site.member.fleet, site.member.view(0.0)) == ([], None, None)
        assert site.member.pardoned(parse_network(A), 0.0) is None
        assert not site.member.trust("peer", 0.0)
        with pytest.raises(TemporaryError, match=r"fleet\.url"):
            site.member.pardon([parse_network(A)], 0.0, "", 0.0)

    _run(test)


def test_work_is_done_by_the_loop_and_bans_wake_the_engine() -> None:
    async def test() -> None:
        site = _Site()
        site.start()
        await _turns()
        site.hear(A)
        assert site.enforced() == set()
        await _turns()
        assert site.enforced() == {A}
        order = OrderedBan(parse_network(B), Strength.PROVEN, 60.0, "5 failures", ClaimOrigin.DETECTOR, "sshd")
        site.pipeline.order([order], site.now_s)
        assert site.engines[0].woken == 1
        site.member.close()
        await _turns()
        assert site.engines[0].was_cancelled
        assert site.enforced() == {A, B}

    _run(test)


def test_another_configuration_connects_anew_and_no_url_withdraws_what_peers_claim() -> None:
    async def test() -> None:
        site = _Site()
        site.start()
        await _turns()
        site.hear(A)
        await _turns()
        other = msgspec.structs.replace(site.settings, fleet=msgspec.structs.replace(_FLEET, quorum=2))
        site.member.reconfigure(other, site.now_s)
        await _turns()
        assert len(site.engines) == 2
        assert site.engines[0].was_cancelled
        assert site.engines[1].settings.quorum == 2
        assert site.enforced() == set()
        site.member.reconfigure(site.settings, site.now_s)
        await _turns()
        assert site.enforced() == {A}
        site.member.reconfigure(Settings(), site.now_s)
        assert site.member.view(0.0) is None
        await _turns()
        site.tick()
        assert (site.enforced(), site.member.fleet, len(site.engines)) == (set(), None, 3)
        assert site.engines[2].was_cancelled

    _run(test)


def test_in_another_fleet_nothing_of_the_former_one_stays_in_force() -> None:
    async def test() -> None:
        site = _Site()
        site.start()
        await _turns()
        site.hear(A)
        await _turns()
        assert site.member.fleet is not None
        site.member.fleet._wall = lambda: site.now_s
        site.now_s += 10.0
        other = msgspec.structs.replace(site.settings, fleet=msgspec.structs.replace(_FLEET, name="other"))
        site.member.reconfigure(other, site.now_s)
        site.now_s += 1.0
        site.hear(B)  # a node of the same name in the other fleet, before all is withdrawn
        await _turns()
        assert site.enforced() == {B}
        assert len(site.engines) == 2

    _run(test)


def test_a_url_that_was_removed_while_the_daemon_was_stopped_withdraws_too() -> None:
    async def test() -> None:
        site = _Site(FleetSettings())
        for name in ("peer", "crowdsec"):
            order = OrderedBan(parse_network(A), Strength.PROVEN, 60.0, "", ClaimOrigin.PEER, name)
            site.pipeline.order([order], site.now_s)
        site.start()
        assert site.member.fleet is not None
        site.member.fleet.work._wall = lambda: site.now_s
        await _turns()
        site.tick()
        assert [one.detector for one in site.pipeline.ledger.all_claims()] == ["crowdsec"]
        assert site.member.fleet is None

    _run(test)


@pytest.mark.parametrize("ends", [RuntimeError("a fault"), None, asyncio.CancelledError()])
def test_an_engine_that_ends_is_a_fault_and_bans_stay(ends: BaseException | None) -> None:
    async def test() -> None:
        site = _Site()
        site.start()
        await _turns()
        site.hear(A)
        await _turns()
        engine = site.engines[0]
        if ends is None:
            engine.ended.set_result(None)
        elif isinstance(ends, asyncio.CancelledError):
            engine.ended.cancel()
        else:
            engine.ended.set_exception(ends)
        await _turns()
        assert [name for name, _ in site.failures] == ["the fleet's engine"]
        view = site.member.view(0.0)
        assert view is not None
        assert not view.is_connected
        assert site.enforced() == {A}
        site.member._connect_again()
        assert len(site.engines) == 2
        site.member.close()

    _run(test)


def test_the_allowlist_and_breakers_outlive_a_restart_and_are_in_force_without_the_server() -> None:
    async def test() -> None:
        first = _Site(fails=True)
        first.start()
        await _turns()
        fleet = first.member.fleet
        assert fleet is not None
        fleet.allowed({b"list": b"1", A.encode(): b"the office"})
        with pytest.raises(TemporaryError):
            first.tick()
        assert first.member.entries == []
        first.fails_to_follow = False
        first.tick()
        assert first.member.entries == [AllowEntry(parse_network(A), "fleet: the office")]
        assert first.pipeline.guard.protects(parse_network(A)) is not None
        fleet.changed("peer", [first.change("127.0.0.1"), first.change("127.0.0.2"), first.change("127.0.0.3")])
        await _turns()
        saved = [list(window.export(100)) for window in first.member.saved.windows]
        first.member.close()
        second = _Site()
        for window, rows in zip(second.member.saved.windows, saved, strict=True):
            window.resume(rows, second.now_s)
        second.start()
        second.tick()
        assert second.member.entries == first.member.entries
        view = second.member.view(0.0)
        assert view is not None
        assert "allowlist" in next(one.breaker for one in view.nodes if one.name == "peer")
        assert second.member.trust("peer", second.now_s)
        assert len(second.engines) == 2
        second.member.close()

    _run(test)


def test_a_replay_bans_what_peers_had_banned() -> None:
    async def test() -> None:
        site = _Site()
        site.start()
        await _turns()
        site.hear(A, B)
        site.hear(A, peer="other")
        await _turns()
        fleet = site.member.fleet
        assert fleet is not None
        site.now_s += 10.0
        fleet.changed("peer", [Change(Kind.UNBAN, f"ban {A}".encode())])
        record = PardonRecord(VERSION, 1, B, site.now_s, site.now_s + 60.0)
        fleet.changed("other", [Change(Kind.PARDON, B.encode(), encode(record), record.until_s)])
        await _turns()
        site.now_s += 4000.0
        site.pipeline.tick(site.now_s)
        site.member.close()
        assert len(site.outcomes.outcomes) >= 6
        assert replay(site.inputs, site.settings).outcomes == site.outcomes.outcomes

    _run(test)


@pytest.mark.parametrize(
    ("host_name", "name"),
    [("Web_3.Example", "web_3.example"), ("-", "node"), ("crowdsec", "crowdsec-node"), ("x" * 80, "x" * 63)],
)
def test_a_node_is_called_as_its_host_unless_configured(host_name: str, name: str) -> None:
    assert node_name(Settings(), host_name) == name
    assert node_name(Settings(fleet=_FLEET), host_name) == "one"
