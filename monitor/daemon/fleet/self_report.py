"""What this node says of itself, and of the nodes it hears."""

from collections.abc import Callable

from monitor import __version__
from monitor.daemon.fleet.digests import allowlist_digest, configuration_digest, shown_entries
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.fleet.allowed import FleetAllowlist
from monitor.fleet.comparison import names
from monitor.fleet.outbox import FleetOutbox
from monitor.fleet.overview import NodeView, silent_after_s
from monitor.fleet.pardons import Pardons
from monitor.fleet.peers import Peer, Peers
from monitor.fleet.records import VERSION, Hello
from monitor.fleet.times import EngineClock
from monitor.model.bans import AllowEntry
from monitor.settings.presets import preset_entries
from monitor.settings.schema import Settings

_MAX_OBSERVED_PEERS = 32
_LATER_S = 600.0
"""For how long a record of a later version is a problem; nodes say hello more often."""


class SelfReport:
    """Makes this node's hello."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        clock: EngineClock,
        peers: Peers,
        outbox: FleetOutbox,
        allowlist: FleetAllowlist,
        problems: Callable[[], int],
        started_s: float,
        audit: Callable[[], str] = str,
    ) -> None:
        """`problems` counts those of `status`; `started_s` is wall time in seconds; `audit` is a result's digest."""
        self._pipeline = pipeline
        self._clock = clock
        self._peers = peers
        self._outbox = outbox
        self._allowlist = allowlist
        self._problems = problems
        self._started_s = started_s
        self._audit = audit
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Follow a changed configuration."""
        self._settings = settings
        self._configuration = configuration_digest(settings)
        self._guard: object = None
        self._allowed = ""
        self._shown: dict[str, str] = {}

    def hello(self) -> Hello:
        """Return what this node says of itself now."""
        self._follow_guard()
        fleet, peers = self._settings.fleet, self._peers
        return Hello(
            VERSION,
            __version__,
            self._clock.to_engine(self._started_s),
            fleet.role,
            fleet.mode,
            self._configuration,
            self._allowed,
            self._audit(),
            sum(self._pipeline.table.drifts.values()),
            self._outbox.sequence,
            self._outbox.published_total,
            sum(peer.held for peer in peers),
            peers.refused.total(),
            self._problems(),
            self._clock.offset_s,
            [peer.name for peer in peers if peer.breaker.is_tripped][:_MAX_OBSERVED_PEERS],
            self._shown,
        )

    def _follow_guard(self) -> None:
        """Digest the allowlist, if it is another one."""
        if self._guard is not self._pipeline.guard:
            self._guard = self._pipeline.guard
            bans = self._settings.bans
            entries = [AllowEntry(one, "bans.allowlist") for one in bans.allowlist]
            entries += [*preset_entries(bans.presets), *self._pipeline.added, *self._allowlist.entries]
            self._allowed, self._shown = allowlist_digest(entries), shown_entries(entries)


def nodes_of(peers: Peers, own: str, hello: Hello, now_s: float) -> list[NodeView]:
    """Return all nodes by name, this one included; `now_s` is monotonic, in seconds."""
    patience_s = silent_after_s(len(peers))
    nodes = [_view_of(peer, now_s, patience_s) for peer in peers]
    nodes.append(NodeView(own, hello, 0.0, is_self=True))
    return sorted(nodes, key=lambda one: one.name)


def _view_of(peer: Peer, now_s: float, patience_s: float) -> NodeView:
    return NodeView(
        peer.name,
        peer.hello,
        None if peer.helloed_s is None else now_s - peer.helloed_s,
        lag_s=peer.lag_s,
        enforced=peer.enforced,
        observed=peer.observed,
        refused=peer.refused,
        breaker=peer.breaker.reason,
        silent_after_s=patience_s,
    )


def faults(own: str, peers: Peers, pardons: Pardons, outbox: FleetOutbox, now_s: float) -> list[str]:
    """Say what is wrong here at `now_s`, wall time."""
    found = []
    if later := [one.name for one in peers if one.later_s is not None and now_s - one.later_s < _LATER_S]:
        text = f"what {names(later)} publish is of a later version, and not taken over here"
        found.append(f"{text}: upgrade nodewarden on this node")
    if peers.twins_total:
        found.append(f"another node of the fleet has this node's name, {own}: set fleet.node")
    if pardons.dropped_total:
        found.append(f"{pardons.dropped_total} pardons were dropped before their end: there were too many")
    if outbox.is_overrun:
        found.append("too many changes waited for the fleet's server: all bans of this node will be written anew")
    return found
