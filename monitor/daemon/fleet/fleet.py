"""The fleet in the daemon: takes what the engine knows, publishes what is decided here, and keeps to the rules.

Everything here is on the loop's thread. The engine is a task of its own; whether it is connected decides nothing but
what is published and heard: nothing is removed because the server is away, and nothing lasts longer.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.bans.decision import Decision, Ended
from monitor.daemon.fleet.digests import fitting
from monitor.daemon.fleet.holdings import Holdings, rules_of
from monitor.daemon.fleet.publisher import Publisher
from monitor.daemon.fleet.self_report import SelfReport, faults, nodes_of
from monitor.daemon.fleet.work import Job, Work
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.fleet.adoption import Adoption
from monitor.fleet.allowed import FleetAllowlist
from monitor.fleet.engine import Change
from monitor.fleet.intake import Intake
from monitor.fleet.outbox import FleetOutbox
from monitor.fleet.overview import FleetView
from monitor.fleet.pardons import MAX_PARDON_S, Pardon, Pardons
from monitor.fleet.peers import Peer, Peers
from monitor.fleet.records import RecordError, decode_hello
from monitor.fleet.refusals import Cause
from monitor.fleet.times import ClockSteps, EngineClock
from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.model.printable import printable
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)


class Fleet:
    """This node's part in the fleet: an `Inbox`, with the `Outbox` as `outbox`."""

    def __init__(
        self,
        settings: Settings,
        node: str,
        pipeline: Pipeline,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        problems: Callable[[], int] = int,
        audit: Callable[[], str] = str,
    ) -> None:
        """`node` is this node's name; `problems` counts those of `status`; the clocks are in seconds.

        `audit` is the digest of the last audit's result.
        """
        self.node = node
        self.settings = settings.fleet
        self._pipeline = pipeline
        self._wall = wall
        self._monotonic = monotonic
        self.clock = EngineClock(wall, monotonic)
        self.pardons = Pardons()
        self.allowlist = FleetAllowlist()
        self.peers = Peers(node, self.settings.bans_per_minute)
        self.outbox = FleetOutbox(
            pipeline.ledger,
            self.settings,
            self.clock,
            self.pardons,
            lambda: fitting(self.report.hello()),
            wall,
            monotonic,
        )
        self.report = SelfReport(
            settings, pipeline, self.clock, self.peers, self.outbox, self.allowlist, problems, wall(), audit
        )
        self._adoption = Adoption(
            rules_of(settings),
            pipeline.ledger,
            self.peers,
            self.pardons,
            self.clock,
            lambda network: pipeline.guard.protects(network),  # noqa: PLW0108 - the guard is replaced
        )
        self._holdings = Holdings(pipeline, self._adoption, self.peers, self.pardons, self.clock)
        self._publisher = Publisher(self.settings, pipeline.ledger, self.outbox, lambda: self.wake(), wall)  # noqa: PLW0108
        self._intake = Intake()
        self.work = Work(self._intake, self._adoption, self._holdings, self.peers, wall)
        self.wake: Callable[[], None] = _nothing
        """Called when there is something to publish."""
        self.work_came: Callable[[], None] = _nothing
        """Called when `work` has something to do."""
        self._is_connected = False
        self._changed_s = monotonic()
        self._steps = ClockSteps(wall, monotonic)
        self._away_because = ""
        self._trouble = ""

    def open(self, now_s: float) -> None:
        """Take over what an earlier run left in the ledger, once that is filled."""
        self._holdings.recount(now_s)
        self._add_work(self.work.revision())

    # what the engine knows

    @property
    def is_busy(self) -> bool:
        """Whether thousands of changes wait to be applied."""
        return self._intake.is_busy

    def connected(self, offset_s: float) -> None:
        """Take that the server answers; its clock is `offset_s` ahead of ours."""
        self.clock.set(offset_s)
        if not self._is_connected:
            self._is_connected, self._changed_s = True, self._monotonic()
            _log.info("connected to the fleet %s as %s", self.settings.name, self.node)
        self._away_because = ""

    def disconnected(self, problem: str) -> None:
        """Take that the server does not answer, and what people should do about it. Nothing is removed for that."""
        if self._is_connected or problem != self._away_because:
            _log.warning(
                "the fleet's server does not answer: %s; bans in force stay until they end", printable(problem)
            )
        if self._is_connected:
            self._is_connected, self._changed_s = False, self._monotonic()
        self._away_because, self._trouble = printable(problem), ""

    def stopped(self) -> None:
        """Take that the engine was stopped."""
        if self._is_connected:
            self._is_connected, self._changed_s = False, self._monotonic()

    def changed(self, node: str, changes: Sequence[Change]) -> None:
        """Take changes of a peer, oldest first."""
        if (peer := self._hear(node)) is None:
            return
        if dropped := self._intake.put(node, changes):
            self.peers.refuse(peer, Cause.WAITING, dropped)
        self.work_came()

    def snapshot(self, node: str, part: Sequence[Change], *, is_first: bool, is_last: bool) -> None:
        """Take a part of all that a peer has in force; what it held before and is in no part has ended."""
        if (peer := self._hear(node)) is None:
            return
        if dropped := self._intake.put_part(node, part, is_first=is_first, is_last=is_last):
            self.peers.refuse(peer, Cause.WAITING, dropped)
        self.work_came()

    def helloed(self, node: str, hello: bytes) -> None:
        """Take what a peer says of itself; empty: it has been silent for a minute."""
        if not hello:
            if (known := self.peers.find(node)) is not None:
                known.helloed_s = None if known.helloed_s is None else min(known.helloed_s, self._monotonic() - 61.0)
            return
        if (peer := self._hear(node)) is None:
            return
        try:
            said = decode_hello(hello)
        except RecordError as error:
            self.peers.refuse(peer, Cause(error.cause))
            return
        has_other_role = peer.role != said.role
        peer.hello, peer.helloed_s = said, self._monotonic()
        if has_other_role and self.settings.adopt_roles:
            self._add_work(self.work.revision(node))

    def allowed(self, entries: Mapping[bytes, bytes]) -> None:
        """Take the fleet's allowlist: reason by network, both as written by the administrator."""
        self.allowlist.follow(entries, self._wall())

    def problem(self, text: str) -> None:
        """Take what is wrong while the server answers; empty: nothing."""
        self._trouble = printable(text)

    def _hear(self, node: str) -> Peer | None:
        now_s = self._wall()
        peer = self.peers.meet(node, now_s)
        if peer is not None:
            peer.hear(now_s, self.settings.max_per_peer)
        return peer

    # what is decided here

    def settled(self, decisions: Sequence[Decision]) -> None:
        """Publish what was decided here."""
        self._publisher.settled(decisions)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Publish what ended here, and count what ended of peers."""
        self._publisher.ended(ended)
        keys = self._holdings.ended(ended)
        if keys and self.settings.quorum > 1:
            self.work.touch(keys)
            self.work_came()

    def moved(self, claims: Sequence[Ban]) -> None:
        """Publish the other times of claims."""
        self._publisher.moved(claims)

    # what people order

    def pardon(self, networks: Sequence[Network], until_s: float, reason: str, now_s: float) -> list[Ended]:
        """Let networks go here, bar them, and have peers do the same; return what ended here."""
        ended: list[Ended] = []
        for network in networks:
            whole = network.whole
            self.pardons.forget(whole)  # a later order replaces an earlier one
            self.pardons.add(whole, Pardon(now_s, min(until_s, now_s + MAX_PARDON_S), reason), now_s)
            self.outbox.note_pardon(whole)
            ended += self._holdings.let_go(whole, now_s, now_s, with_local=True)
        self.wake()
        return ended

    def pardoned(self, network: Network, now_s: float) -> tuple[float, str] | None:
        """Return until when a network is barred from adoption (wall time, seconds), and why; None if it is not."""
        pardon = self.pardons.bars(network, now_s)
        return None if pardon is None else (pardon.until_s, pardon.text)

    def trust(self, node: str) -> bool:
        """Enforce what a peer bans again; False: no such peer, or its breaker did not trip.

        What it banned meanwhile is read anew, which neither its budget nor the allowlist may have trip it again.
        """
        peer, now_s = self.peers.find(node), self._wall()
        if peer is None or not peer.breaker.trust(now_s):
            return False
        self._welcome(peer)
        self._add_work(self.work.revision(node))
        return True

    # the configuration, and time

    def follow(self, settings: Settings) -> None:
        """Follow a changed configuration: claims of peers are revised, and what is no longer shared is taken back."""
        self.settings = settings.fleet
        self._publisher.follow(self.settings)
        self._adoption.rules = rules_of(settings)
        self.peers.follow(self.settings.bans_per_minute)
        self.report.follow(settings)
        for peer in self.peers:
            self._welcome(peer)
        self._add_work(self.work.revision())

    def leave(self) -> None:
        """Withdraw all claims of peers up to now: this node is in no fleet any more, or in another one."""
        self._intake.drop()
        self.pardons.forget_peers()
        self._add_work(self.work.withdrawal(self._wall()))

    def tick(self, now_s: float) -> list[str]:
        """Do what is due each second; return the peers that are trusted again because their time is over."""
        if step_s := self._steps.read():
            self._holdings.follow_clock(step_s)
        self.pardons.expire(now_s)
        self.allowlist.tick(now_s)
        again = [peer for peer in self.peers if peer.breaker.is_tripped and peer.breaker.review(now_s)]
        for peer in again:
            _log.info("node %s of the fleet is trusted again", peer.name)
            self._welcome(peer)
            self._add_work(self.work.revision(peer.name))
        return [peer.name for peer in again]

    def flushed(self) -> None:
        """Take that all bans were ended by an order: what peers have may come again, and that is no fault of theirs."""
        for peer in self.peers:
            self._welcome(peer)

    def _welcome(self, peer: Peer) -> None:
        peer.welcome(self._wall(), self.settings.max_per_peer)

    def _add_work(self, job: Job) -> None:
        self.work.add(job)
        self.work_came()

    def view(self) -> FleetView:
        """Return what the fleet looks like from here."""
        mono_s, settings = self._monotonic(), self.settings
        return FleetView(
            settings.name,
            settings.url,
            settings.mode,
            settings.publish,
            settings.adopt,
            settings.quorum,
            self._is_connected,
            mono_s - self._changed_s,
            nodes_of(self.peers, self.node, self.report.hello(), mono_s),
            self._trouble if self._is_connected else self._away_because,
            self.clock.offset_s if self.clock.is_known else 0.0,
            len(self.outbox),
            self.outbox.waiting_s,
            self.outbox.published_total,
            self.outbox.withdrawn_total,
            self._holdings.adopted_total,
            {str(cause): count for cause, count in self.peers.refused.items()},
            len(self.pardons),
            len(self.allowlist.entries),
            self.peers.omitted_total,
        )

    def problems(self) -> list[str]:
        """Say what is wrong and not in the view."""
        return [*self.allowlist.problems(), *faults(self.node, self.peers, self.pardons, self.outbox, self._wall())]

    def notices(self) -> list[str]:
        """Say what people should know and is not in the view."""
        return self.allowlist.notices()


def _nothing() -> None:
    """Do nothing: the engine is not there yet."""
