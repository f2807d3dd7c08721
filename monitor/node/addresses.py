"""Reads node addresses, default gateways, resolvers, and the networks around the node."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from monitor.files.changes import read_bounded
from monitor.model.addresses import Address, host, parse_address
from monitor.model.bans import AllowEntry
from monitor.model.errors import MalformedRecord, TemporaryError
from monitor.model.networks import NodeNetworks
from monitor.node.routes import Routes, container_bridges, find_networks, follow_hops, interface_address
from monitor.node.rtnetlink import RouteQuery

# The second file has the real resolvers where the first only has the loopback stub of systemd-resolved.
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
OWN_ADDRESS = "an address of this node"
"""The reason of the entries for node addresses."""
_MAX_FILE_BYTES = 65536


class Node(NamedTuple):
    """What the kernel and resolver files report of the node; `notices` say what is left out."""

    entries: list[AllowEntry]
    networks: NodeNetworks
    notices: list[str]


def read_node(resolver_files: Iterable[Path] = RESOLVER_FILES) -> Node:
    """Return node addresses, gateways, resolvers and networks; TemporaryError if the kernel does not answer."""
    routes = Routes()
    try:
        with RouteQuery() as query:
            addresses = [one for payload in query.addresses() if (one := interface_address(payload))]
            for length, data, start, end in query.routes():
                routes.add(length, data, start, end)
            objects = query.nexthops(routes.nexthops())
            bridges = set() if routes.has_uplink else container_bridges(query.links())
    except (OSError, MalformedRecord) as error:
        raise TemporaryError(f"cannot read the node's addresses and routes: {error}") from error
    networks, notices = find_networks(addresses, routes, objects, bridges)
    found = {
        OWN_ADDRESS: [one.address for one in addresses],
        "a default gateway of this node": follow_hops(routes.defaults, objects)[0],
        "a resolver of this node": [address for path in resolver_files for address in parse_resolvers(_read(path))],
    }
    # IPv6 lists a route twice if it is in two tables or has two metrics: an address counts once for each reason
    entries = [AllowEntry(host(address), reason) for reason, some in found.items() for address in dict.fromkeys(some)]
    return Node(entries, networks, notices)


def parse_resolvers(text: str) -> list[Address]:
    """Return the `nameserver` addresses of a resolv.conf(5); zones are removed, other lines skipped."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(parse_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


def _read(path: Path) -> str:
    """Return the text of the file; empty if it cannot be read, because a node may have no resolvers."""
    return (read_bounded(path, _MAX_FILE_BYTES) or b"").decode(errors="replace")
