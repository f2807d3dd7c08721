"""Whether this node is in a fleet, and all that the daemon needs of it: the one part that is there without a fleet.

A daemon without `fleet.url` imports nothing of the fleet but its settings: the client alone would cost 10 MB.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from monitor.bans.decision import Decision, Ended
from monitor.daemon.fleet.kept import KEPT, Kept, node_name
from monitor.daemon.life.saved_windows import SavedPart
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import Network
from monitor.model.bans import OTHER_PEERS, AllowEntry, Ban, ClaimOrigin
from monitor.model.errors import SYSTEM_FAULTS, NodewardenError, TemporaryError
from monitor.model.saved_rows import SavedWindow
from monitor.settings.schema import Settings

if TYPE_CHECKING:
    from monitor.daemon.fleet.fleet import Fleet
    from monitor.fleet.engine import Engine
    from monitor.fleet.overview import FleetView

_log = logging.getLogger(__name__)
_AGAIN_S = 5.0

MakeEngine = Callable[["Fleet"], "Engine"]


def _redis(fleet: "Fleet") -> "Engine":
    from monitor.fleet.redis.engine import RedisEngine  # 10 MB that only a fleet needs

    return RedisEngine(fleet.settings, fleet.node, fleet, fleet.outbox)


class Membership(Listener):
    """The node's place in a fleet, if it has one."""

    name = "fleet"

    def __init__(
        self,
        settings: Settings,
        host_name: str,
        failed: Callable[[str, Exception], None],
        follow_allowlist: Callable[[], None],
        problems: Callable[[], int] = int,
        make_engine: MakeEngine = _redis,
        audit: Callable[[], str] = str,
    ) -> None:
        """Join nothing yet.

        `failed` takes faults of our own; `follow_allowlist` puts changed `entries` into force, and raises if it cannot;
        `problems` counts those of `status`; `audit` is the digest of the last audit's result.
        """
        self._settings = settings
        self._host_name = host_name
        self._failed = failed
        self._follow_allowlist = follow_allowlist
        self._problems = problems
        self._make_engine = make_engine
        self._audit = audit
        self._kept = {what: Kept(partial(self._part, what)) for what in KEPT}
        self._pipeline: Pipeline | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_pumping = False
        self.fleet: Fleet | None = None
        self.entries: list[AllowEntry] = []
        """The fleet's allowlist, as it is in force."""

    @property
    def saved(self) -> SavedPart:
        """What outlives a restart."""
        return SavedPart("fleet", "fleet", tuple(self._kept.values()))

    def open(self, pipeline: Pipeline, now_s: float) -> None:
        """Join, if configured; call it once the ledger is filled."""
        self._pipeline = pipeline
        if self._settings.fleet.url:
            self._join(now_s)
        elif any(claim.detector not in OTHER_PEERS for claim in pipeline.ledger.claims_from((ClaimOrigin.PEER,))):
            self._join(now_s)  # `fleet.url` was removed while the daemon was stopped
            self._leave()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to work and to connect."""
        self._loop = loop
        self._connect()
        self._pump_soon()

    def close(self) -> None:
        """Disconnect; what peers claim stays until it ends."""
        self._disconnect()
        self._loop = None

    def reconfigure(self, settings: Settings, now_s: float) -> None:
        """Follow a changed configuration."""
        before, self._settings = self._settings, settings
        if self._pipeline is None or (before.fleet, before.bans) == (settings.fleet, settings.bans):
            if self.fleet is not None:
                self.fleet.report.follow(settings)
            return
        is_same = node_name(before, self._host_name) == node_name(settings, self._host_name)
        if not settings.fleet.url:
            self._leave()
        elif self.fleet is None or not is_same or not before.fleet.url:
            for kept in self._kept.values():
                kept.hold()
            self._join(now_s)
            self._connect()
        elif before.fleet.name != settings.fleet.name:
            self._leave()  # what nodes of the other fleet claim ends, although some may have the same names
            self.fleet.follow(settings)
            self._connect()
        else:
            self.fleet.follow(settings)
            if before.fleet != settings.fleet:
                self._connect()

    def _join(self, now_s: float) -> None:
        from monitor.daemon.fleet.fleet import Fleet

        assert self._pipeline is not None  # noqa: S101 - `open` was called
        fleet = Fleet(
            self._settings,
            node_name(self._settings, self._host_name),
            self._pipeline,
            problems=self._problems,
            audit=self._audit,
        )
        for what, kept in self._kept.items():
            getattr(fleet, what).resume(kept.rows, now_s)
        fleet.work_came = self._pump_soon
        self.fleet = fleet
        fleet.open(now_s)

    def _part(self, what: str) -> SavedWindow | None:
        part: SavedWindow | None = getattr(self.fleet, what, None)
        return part

    def _leave(self) -> None:
        """Withdraw what peers claim; then there is no fleet any more."""
        self._disconnect()
        if self.fleet is not None:
            self.fleet.leave()

    def _connect(self) -> None:
        """Connect anew: with the settings as they are now."""
        self._disconnect()
        if self._loop is None or self.fleet is None or not self._settings.fleet.url:
            return None
        try:
            engine = self._make_engine(self.fleet)
        except ValueError as error:  # the URL is one, but names no server
            return self.fleet.disconnected(f"fleet.url: {error}")
        self.fleet.wake = engine.wake
        self._task = self._loop.create_task(engine.run())
        self._task.add_done_callback(self._stopped)
        return None

    def _disconnect(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if self.fleet is not None:
            self.fleet.wake = _nothing
            self.fleet.stopped()

    def _stopped(self, task: "asyncio.Task[None]") -> None:
        """Connect again if the engine failed: that is a fault of our own."""
        if task is not self._task:
            return  # it was to stop
        error = None if task.cancelled() else task.exception()
        self._failed("the fleet's engine", error if isinstance(error, Exception) else RuntimeError("it ended"))
        self._disconnect()
        if self._loop is not None:
            self._loop.call_later(_AGAIN_S, self._connect_again)

    def _connect_again(self) -> None:
        if self._task is None:
            self._connect()

    def _pump_soon(self) -> None:
        if not self._is_pumping and self._loop is not None and self.fleet is not None:
            self._is_pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Do a slice of the work that waits; then the loop has its turn."""
        self._is_pumping = False
        fleet = self.fleet
        if fleet is None or fleet.work.is_idle:
            return
        try:
            fleet.work.step()
        except Exception as error:  # noqa: BLE001 - for the supervisor: a fault costs this slice
            self._failed("taking over what peers publish", error)
        self._pump_soon()

    def tick_parts(self, now_s: float) -> dict[str, Callable[[], object]]:
        """Return what is due each second, by name."""
        return {"following the fleet": lambda: self._tick(now_s)}

    def _tick(self, now_s: float) -> None:
        fleet = self.fleet
        if fleet is None:
            return self._follow([])
        if not self._settings.fleet.url and fleet.work.is_idle:
            _log.info("left the fleet; no ban of a peer is in force any more")
            for kept in self._kept.values():
                kept.rows = []
            self.fleet = None
            return self._follow([])
        if fleet.tick(now_s):
            self._connect()  # a peer that is trusted again is read anew
        self._pump_soon()
        return self._follow(fleet.allowlist.entries)

    def _follow(self, entries: list[AllowEntry]) -> None:
        """Put another allowlist of the fleet into force."""
        if entries == self.entries:
            return
        before, self.entries = self.entries, entries
        try:
            self._follow_allowlist()
        except (NodewardenError, *SYSTEM_FAULTS):
            self.entries = before  # tried again with the next tick
            raise

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Publish what was decided here."""
        if self.fleet is not None:
            self.fleet.settled(decisions)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Publish what ended here."""
        if self.fleet is not None:
            self.fleet.ended(ended)

    def flushed(self) -> None:
        """Take that all bans were ended by an order."""
        if self.fleet is not None:
            self.fleet.flushed()

    def moved(self, claims: Sequence[Ban]) -> None:
        """Publish the other times of claims."""
        if self.fleet is not None:
            self.fleet.moved(claims)

    def view(self, now_s: float) -> "FleetView | None":  # noqa: ARG002 - ages are monotonic
        """Return what the fleet looks like from here; None: this node is in none."""
        return self.fleet.view() if self.fleet is not None and self._settings.fleet.url else None

    def pardon(self, networks: Sequence[Network], until_s: float, reason: str, now_s: float) -> list[Ended]:
        """Let networks go on all nodes, and have nobody adopt them again until a time; return what ended here.

        TemporaryError without a fleet.
        """
        if self.fleet is None or not self._settings.fleet.url:
            raise TemporaryError("this node is in no fleet: fleet.url is not set")
        return self.fleet.pardon(networks, until_s, reason, now_s)

    def pardoned(self, network: Network, now_s: float) -> tuple[float, str] | None:
        """Return until when a network is barred from adoption (wall time, seconds), and why; None if it is not."""
        return self.fleet.pardoned(network, now_s) if self.fleet is not None else None

    def trust(self, node: str, now_s: float) -> bool:  # noqa: ARG002 - as the others
        """Enforce what a peer bans again after its breaker tripped; False: no such peer, or it did not trip."""
        if self.fleet is None or not self.fleet.trust(node):
            return False
        self._connect()  # what was not held while it was observed is read anew
        return True

    def problems(self) -> list[str]:
        """Say what is wrong and not in the view."""
        return self.fleet.problems() if self.fleet is not None else []

    def notices(self) -> list[str]:
        """Say what people should know and is not in the view."""
        return self.fleet.notices() if self.fleet is not None else []


def _nothing() -> None:
    """Do nothing: nobody publishes."""
