"""A fleet to look at, for tests."""

from collections.abc import Callable, Sequence
from typing import Any

from monitor.bans.decision import Ended
from monitor.fleet.overview import FleetView, NodeView
from monitor.fleet.records import VERSION, Hello
from monitor.model.addresses import Network
from monitor.model.bans import Mode
from monitor.model.errors import TemporaryError

_DEFAULTS: dict[str, Any] = {
    "v": VERSION, "version": "1.0", "started_s": 0.0, "role": "", "mode": "enforce", "configuration": "c1",
    "allowlist": "a1", "audit": "", "drift": 0, "sequence": 0, "published": 0, "adopted": 0, "refused": 0,
    "problems": 0, "clock_offset_s": 0.0,
}  # fmt: skip


def hello(**more: Any) -> Hello:
    """Return what an ordinary node says, with changes."""
    return Hello(**{**_DEFAULTS, **more})


def node(name: str, *, seen_s: float = 3.0, **more: Any) -> NodeView:
    """Return a node that said this."""
    return NodeView(name, hello(**more), seen_s)


def view(*peers: NodeView, **more: Any) -> FleetView:
    """Return a connected fleet of the node `here` and peers."""
    given: dict[str, Any] = {
        "name": "default", "url": "rediss://redis.example.org:6379", "mode": Mode.ENFORCE, "publish": True,
        "adopt": True, "quorum": 1, "is_connected": True, "changed_s": 3600.0,
    }  # fmt: skip
    nodes = sorted([NodeView("here", hello(), 1.0, is_self=True), *peers], key=lambda one: one.name)
    return FleetView(**{**given, "nodes": nodes, **more})


class Member:
    """A place in a fleet that nothing happens in: it notes what it is asked for."""

    def __init__(self, look: Callable[[float], FleetView | None] = lambda _: None) -> None:
        self.view = look
        self.pardons: dict[Network, tuple[float, str]] = {}
        self.tripped: set[str] = set()
        self.said: tuple[list[str], list[str]] = ([], [])

    def problems(self) -> list[str]:
        """Say what the test wants."""
        return self.said[0]

    def notices(self) -> list[str]:
        """Say what the test wants."""
        return self.said[1]

    def pardon(self, networks: Sequence[Network], until_s: float, reason: str, now_s: float) -> list[Ended]:
        """Note it."""
        if self.view(now_s) is None:
            raise TemporaryError("no fleet")
        self.pardons |= dict.fromkeys(networks, (until_s, reason))
        return []

    def pardoned(self, network: Network, now_s: float) -> tuple[float, str] | None:
        """Return what was noted."""
        found = self.pardons.get(network)
        return found if found and found[0] > now_s else None

    def trust(self, node: str, now_s: float) -> bool:
        """Forget that it tripped."""
        del now_s
        known = node in self.tripped
        self.tripped.discard(node)
        return known
