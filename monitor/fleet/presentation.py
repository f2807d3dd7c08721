"""How the fleet looks to commands: plain data, times in seconds. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from monitor.fleet.comparison import Difference
from monitor.fleet.overview import FleetView, NodeView

_MAX_NODES = 100
"""Names for each difference."""


def summary(view: FleetView, differences: Sequence[tuple[Difference, float]]) -> dict[str, Any]:
    """Show all but the nodes themselves; `differences` each with the seconds for which there has been one."""
    peers = [one for one in view.nodes if not one.is_self]
    shown: dict[str, Any] = {
        field: getattr(view, field) for field in view.__struct_fields__ if field not in ("nodes", "refused")
    }
    shown["refused"] = dict(view.refused)
    shown["node"] = view.own.name if view.own else ""
    shown["nodes"] = len(view.nodes)
    shown["alive"] = sum(one.is_alive for one in view.nodes)
    shown["observed_peers"] = [one.name for one in peers if one.breaker]
    shown["held"] = {"enforce": sum(one.enforced for one in peers), "observe": sum(one.observed for one in peers)}
    shown["differences"] = [
        {
            "subject": one.subject.value,
            "nodes": list(one.nodes[:_MAX_NODES]),
            "count": len(one.nodes),
            "text": one.text,
            "for_s": for_s,
        }
        for one, for_s in differences
    ]
    return shown


def show_node(node: NodeView) -> dict[str, Any]:
    """Show a node with what it says of itself."""
    shown = {
        field: getattr(node, field) for field in node.__struct_fields__ if field not in ("hello", "silent_after_s")
    }
    shown["is_alive"] = node.is_alive
    shown["hello"] = _said(node)
    return shown


def _said(node: NodeView) -> dict[str, Any] | None:
    if node.hello is None:
        return None
    said = msgspec.structs.asdict(node.hello)
    del said["v"]
    return said
