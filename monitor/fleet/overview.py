"""What the fleet looks like from one node: connection, counts, nodes. Pure data, which the daemon fills."""

import msgspec

from monitor.fleet.records import Hello
from monitor.model.bans import Mode

DEAD_S = 60.0
"""After this time without a hello a node is silent; its bans run out. In a large fleet hellos are read less often."""


def silent_after_s(nodes: int) -> float:
    """Return the age of a hello, in seconds, from which a node is silent in a fleet of a number of nodes.

    The engine reads those of 100 nodes every 6 s, and less often beyond 3,000 nodes (decision 0128).
    """
    return DEAD_S + 1.5 * max(0.06 * nodes, 2e-5 * nodes * nodes)


class NodeView(msgspec.Struct, frozen=True):
    """One node, as this one sees it."""

    name: str
    hello: Hello | None
    """What it said last of itself; None if nothing can be read."""
    seen_s: float | None
    """Seconds since that; None: never."""
    is_self: bool = False
    lag_s: float | None = None
    """Seconds from its last ban that arrived here, as decided there, to its arrival; None before the first."""
    enforced: int = 0
    """Bans of it that are in force here."""
    observed: int = 0
    """Bans of it that are only recorded here."""
    refused: int = 0
    """Bans and pardons of it that were not taken over, since the start."""
    breaker: str = ""
    """Why it is only observed; empty while it is trusted."""
    silent_after_s: float = DEAD_S
    """From which age of its hello on it is silent."""

    @property
    def is_alive(self) -> bool:
        """Whether it said something of itself lately."""
        return self.hello is not None and self.seen_s is not None and self.seen_s <= self.silent_after_s


class FleetView(msgspec.Struct, frozen=True):
    """The fleet. Counts are since the start of the daemon."""

    name: str
    url: str
    """Without a password."""
    mode: Mode
    publish: bool
    adopt: bool
    quorum: int
    is_connected: bool
    changed_s: float
    """Seconds since it is so."""
    nodes: list[NodeView]
    """This one included, by name."""
    problem: str = ""
    """Why the server does not answer, or what is wrong while it does."""
    clock_offset_s: float = 0.0
    """How far the server's clock is ahead of this node's."""
    waiting: int = 0
    """Changes that wait to be published."""
    waiting_s: float = 0.0
    """For how long the oldest of them has waited."""
    published: int = 0
    withdrawn: int = 0
    adopted: int = 0
    refused: dict[str, int] = {}
    """Records of peers that were not taken over, by cause."""
    pardons: int = 0
    """In force now."""
    allowed: int = 0
    """Entries of the fleet's allowlist."""
    omitted_nodes: int = 0
    """Names of nodes that were ignored because there are more than this one can follow."""

    @property
    def own(self) -> NodeView | None:
        """This node."""
        return next((one for one in self.nodes if one.is_self), None)
