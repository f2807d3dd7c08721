"""The names of the fleet's keys on the server. Pure.

All keys of a fleet share a hash tag, so a cluster keeps them in one slot and one transaction may write several.
"""

import re
from typing import NamedTuple

from monitor.fleet.records import NODE_NAME

_NODE = re.compile(NODE_NAME.encode())
_LONGEST_NAME = 63
LIST_ID = b"list"
"""The field of the allowlist that is no network but the list's id: without it, the server lost the list."""
BELL_ALLOW = b"!allow"
"""The line of the bell that says the allowlist changed; no node can be called that."""


class NodeKeys(NamedTuple):
    """The keys that one node writes."""

    bans: bytes
    pardons: bytes
    stream: bytes
    mark: bytes
    """Number of the stream's last line, and the run that wrote it: `NUMBER TOKEN`."""
    hello: bytes


class FleetKeys:
    """The keys of one fleet."""

    def __init__(self, fleet: str) -> None:
        """`fleet`: its name (`fleet.name`)."""
        self.prefix = b"{nodewarden:%b}:" % fleet.encode()
        self.bell = self.prefix + b"bell"
        self.names = self.prefix + b"names"
        self.allow = self.prefix + b"allow"

    def of(self, node: bytes) -> NodeKeys:
        """Return the keys of a node."""
        return NodeKeys(*(self.prefix + kind + node for kind in (b"b:", b"p:", b"s:", b"m:", b"n:")))


def is_node_name(name: object) -> bool:
    """Whether somebody may be called that; names come from shared keys, which every node can write."""
    return isinstance(name, bytes) and len(name) <= _LONGEST_NAME and _NODE.fullmatch(name) is not None
