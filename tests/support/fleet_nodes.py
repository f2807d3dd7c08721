"""A fleet in memory: the real pipelines and rules of several nodes, over a server that is a dictionary."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from monitor.bans.decision import Decision, Ended
from monitor.daemon.fleet.fleet import Fleet
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.fleet.adoption import is_of_peer
from monitor.fleet.engine import Change, Kind
from monitor.fleet.settings import FleetSettings
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import FLEET, AllowEntry, Ban, ClaimOrigin, Mode
from monitor.model.ports import at
from monitor.model.saved_rows import SavedWindow
from monitor.recording.inputs import OrderedBan
from monitor.settings.bans import Bans, Budget
from monitor.settings.schema import Settings

NOW_S = 1_700_000_000.0


class Clock:
    """The time of all nodes, unless one is ahead."""

    def __init__(self) -> None:
        """Start at NOW_S."""
        self.now_s = NOW_S

    def __call__(self) -> float:
        """Return it."""
        return self.now_s


class Server:
    """What a fleet's server remembers: hashes of records, streams of changes, the allowlist."""

    def __init__(self) -> None:
        """Start empty."""
        self.hashes: dict[str, dict[bytes, Change]] = {}
        self.streams: dict[str, list[Change]] = {}
        self.hellos: dict[str, bytes] = {}
        self.allow: dict[bytes, bytes] = {}
        self.generation = 0

    def wipe(self) -> None:
        """Lose everything, as a server without a disk that is restarted."""
        self.hashes, self.streams, self.hellos, self.allow = {}, {}, {}, {}
        self.generation += 1

    def write(self, node: str, changes: Iterable[Change]) -> None:
        """Apply what a node publishes."""
        hashed, stream = self.hashes.setdefault(node, {}), self.streams.setdefault(node, [])
        for change in changes:
            if change.kind is Kind.UNBAN:
                hashed.pop(change.field, None)
            else:
                hashed[change.field] = change
            if not (change.kind is Kind.UNBAN and change.until_s):
                stream.append(change)


class Node:
    """One node: its pipeline without a kernel, its fleet, and what stands for its engine."""

    def __init__(
        self,
        name: str,
        server: Server,
        clock: Clock,
        *,
        ahead_s: float = 0.0,
        allowlist: Iterable[str] = (),
        budget: int = 100_000,
        recorder: Callable[[Pipeline], None] = lambda _: None,
        **fleet: object,
    ) -> None:
        """`ahead_s`: how far its clock is ahead of the server's. `fleet`: settings that are not the defaults."""
        self.name = name
        self.server = server
        self.clock = clock
        self.ahead_s = ahead_s
        defaults: dict[str, object] = {"url": "redis://server:6379", "node": name, "mode": Mode.ENFORCE}
        self.settings = Settings(
            bans=Bans(allowlist=tuple(map(parse_network, allowlist)), budget=Budget(bans_per_minute=budget)),
            fleet=FleetSettings(**{**defaults, **fleet}),  # type: ignore[arg-type]
        )
        self.reachable = True
        self._mono_s = 0.0
        self._recorder = recorder
        self.decisions: list[Decision] = []
        self.start(())

    def now(self) -> float:
        """Return its wall time."""
        return self.clock.now_s + self.ahead_s

    def start(self, claims: Iterable[Ban]) -> None:
        """Start, with what an earlier run left."""
        node = self

        class Tell(Listener):
            name = "fleet"

            def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
                node.decisions += decisions
                node.fleet.settled(decisions)

            def ended(self, ended: Sequence[Ended]) -> None:
                node.fleet.ended(ended)

            def moved(self, claims: Sequence[Ban]) -> None:
                node.fleet.moved(claims)

        self.pipeline = Pipeline(self.settings, (), lambda *_: Enforcement(MemoryLeader()), (Tell(),))
        self.fleet = Fleet(self.settings, self.settings.fleet.node, self.pipeline, self.now, self.clock)
        self._recorder(self.pipeline)
        for claim in claims:
            self.pipeline.ledger.put(claim, self.now())
        self._read: dict[str, int] = {}
        self._generation: int | None = None
        self.fleet.open(self.now())
        self.work()

    def restart(self) -> None:
        """Stop and start: the ledger comes back from the store, and what else is saved."""
        claims = list(self.pipeline.ledger.all_claims())
        saved = [list(one.export(4096)) for one in (self.fleet.peers, self.fleet.pardons, self.fleet.allowlist)]
        self.start(())
        kept: tuple[SavedWindow, ...] = (self.fleet.peers, self.fleet.pardons, self.fleet.allowlist)
        for one, rows in zip(kept, saved, strict=True):
            one.resume(rows, self.now())
        for claim in claims:
            self.pipeline.ledger.put(claim, self.now())
        self.fleet.open(self.now())
        self.work()

    def sync(self) -> None:
        """Do what an engine does when the server answers: publish, then read."""
        if not self.reachable:
            return self.fleet.disconnected("it does not answer")
        self.fleet.connected(-self.ahead_s)
        server = self.server
        if self._generation != server.generation:
            self._generation, self._read = server.generation, {}
            whole = {change.field: change for change in self.fleet.outbox.whole()}
            former = server.hashes.setdefault(self.name, {})
            gone = [Change(Kind.UNBAN, field) for field in former if field not in whole]
            server.write(self.name, [*gone, *whole.values()])
        while changes := self.fleet.outbox.take(100):
            server.write(self.name, changes)
        server.hellos[self.name] = self.fleet.outbox.hello()
        for peer in [one for one in server.hashes if one != self.name]:
            self._read_peer(peer)
        if server.allow or self.fleet.allowlist.entries:
            self.fleet.allowed(server.allow)
            self.pipeline.follow_node(self.fleet.allowlist.entries, self.now())
        return self.work()

    def _read_peer(self, peer: str) -> None:
        stream = self.server.streams.setdefault(peer, [])
        if peer in self.server.hellos:
            self.fleet.helloed(peer, self.server.hellos[peer])
        if peer not in self._read:
            parts = list(self.server.hashes[peer].values())
            self.fleet.snapshot(peer, parts[:7], is_first=True, is_last=len(parts) <= 7)
            if len(parts) > 7:
                self.fleet.snapshot(peer, parts[7:], is_first=False, is_last=True)
        elif new := stream[self._read[peer] :]:
            self.fleet.changed(peer, new)
        self._read[peer] = len(stream)

    def work(self) -> None:
        """Do all the work that waits."""
        while not self.fleet.work.is_idle:
            self.fleet.work.step()

    def tick(self) -> None:
        """Let a second's work be done."""
        self.pipeline.tick(self.now())
        self.fleet.tick(self.now())
        self.work()

    def ban(
        self,
        network: str,
        *,
        bantime_s: float = 3600.0,
        strength: Strength = Strength.PROVEN,
        origin: ClaimOrigin = ClaimOrigin.DETECTOR,
        name: str = "sshd",
        mode: Mode = Mode.ENFORCE,
        ports: bytes = b"",
        reason: str = "5 failures",
    ) -> Decision:
        """Ban as a detector does, or another origin."""
        target = at(parse_network(network), ports)
        order = OrderedBan(target, strength, bantime_s, reason, origin, name, mode)
        (decision,) = self.pipeline.order([order], self.now())
        return decision

    def ban_for_fleet(self, network: str, bantime_s: float = 3600.0) -> Decision:
        """Ban as `nodewarden ban --fleet` does."""
        return self.ban(network, bantime_s=bantime_s, origin=ClaimOrigin.OPERATOR, name=FLEET)

    def unban(self, network: str) -> list[Ended]:
        """Unban as `nodewarden unban` does."""
        return self.pipeline.unban([parse_network(network)], self.now())[0]

    def allow(self, network: str) -> None:
        """Allow as `nodewarden allow add` does."""
        self.pipeline.allow([AllowEntry(parse_network(network), "test")], self.now())

    def enforced(self, *, peers: bool = True) -> set[str]:
        """Return what is in force; `peers`: what they claim counts."""
        claims = self.pipeline.ledger.all_claims()
        return {
            str(one.network)
            for one in claims
            if one.mode is Mode.ENFORCE and one.until_s > self.now() and (peers or not is_of_peer(one))
        }

    def held(self, peer: str, mode: Mode = Mode.ENFORCE) -> set[str]:
        """Return what is held of a peer."""
        claims = self.pipeline.ledger.all_claims()
        return {str(one.network) for one in claims if is_of_peer(one) and one.detector == peer and one.mode is mode}

    def claims(self) -> set[tuple[object, ...]]:
        """Return all claims as plain data, ends to the second."""
        return {
            (str(one.network), one.strength, one.origin, one.detector, one.mode, round(one.until_s))
            for one in self.pipeline.ledger.all_claims()
        }

    def reconfigure(self, **fleet: object) -> None:
        """Follow changed settings of the fleet."""
        self.settings = msgspec.structs.replace(
            self.settings, fleet=msgspec.structs.replace(self.settings.fleet, **fleet)
        )
        self.fleet.follow(self.settings)
        self.work()


def meet(*nodes: Node, rounds: int = 3) -> None:
    """Let nodes publish and read until all have heard of all."""
    for _ in range(rounds):
        for node in nodes:
            node.sync()
