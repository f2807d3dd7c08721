"""A fleet to look at, for tests."""

from typing import Any

from monitor.fleet.overview import FleetView, NodeView
from monitor.model.bans import Mode
from tests.unit.fleet.test_comparison import hello


def view(*peers: NodeView, **more: Any) -> FleetView:
    """Return a connected fleet of the node `here` and peers."""
    given: dict[str, Any] = {
        "name": "default", "url": "rediss://redis.example.org:6379", "mode": Mode.ENFORCE, "publish": True,
        "adopt": True, "quorum": 1, "is_connected": True, "changed_s": 3600.0,
    }  # fmt: skip
    nodes = [NodeView("here", hello(), 1.0, is_self=True), *peers]
    return FleetView(**{**given, "nodes": nodes, **more})
