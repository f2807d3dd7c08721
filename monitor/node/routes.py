"""Finds the networks around the node: connected to its interfaces, and behind it. Pure; `rtnetlink` does the queries.

An uplink is an interface of a default route. A network is behind the node if it is connected to or routed by other
interfaces only: container bridges, routes to pods, the LAN of a router, networks of VPN peers. Without a default route
any interface may be an uplink, so only bridges count that have nothing but virtual ports.
"""

import sys
from collections.abc import Collection, Container, Iterable, Iterator
from typing import NamedTuple

from monitor.model.addresses import Address, Network, network_of, parse_network
from monitor.model.errors import MalformedRecord
from monitor.model.networks import Networks, NodeNetworks
from monitor.node.netlink_messages import split_attributes
from monitor.node.rtnetlink import Hops, address_of, number_of

MAX_ROUTES = 4096
"""The maximum number of routes that count; with more, only connected networks do."""
TOO_MANY_ROUTES = (
    f"the node has more than {MAX_ROUTES} routes: only networks of its interfaces count as networks behind it"
)
_MAX_DECODED = 16_384
"""The maximum number of routes that are decoded: a full BGP table has a million."""

# linux/if_addr.h, linux/rtnetlink.h, linux/if_link.h
_IFADDRMSG_BYTES, _RTMSG_BYTES, _RTNEXTHOP_BYTES, _IFINFOMSG_BYTES = 8, 12, 8, 16
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA, _RTA_NH_ID = 1, 4, 5, 9, 18, 30
_IFLA_MASTER, _IFLA_LINKINFO, _IFLA_INFO_KIND = 10, 18, 1
_LOOPBACK = 1
"""The index of `lo`, the same in every network namespace (linux/net_namespace.h: LOOPBACK_IFINDEX)."""
_VIRTUAL_PORTS = frozenset({"veth", "tun"})
"""The kinds of bridge ports that lead to containers and virtual machines."""

_SHORTEST = {4: 8, 16: 16}
"""By address length: a route with a shorter prefix leads to a large part of the internet, as a default route does.

VPN clients replace the default route by 0.0.0.0/1 and 128.0.0.0/1; some systems use 2000::/3.
"""
_PRIVATE = parse_network("fc00::/7")
_NOT_BEHIND = Networks(
    map(
        parse_network,
        (
            *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/80", "fe80::/10", "ff00::/8"),
            *("2002::/16", "2001::/32", "64:ff9b::/96"),  # 6to4, Teredo, NAT64: the IPv4 internet in another form
        ),
    )
)


class InterfaceAddress(NamedTuple):
    """An address of the node, the network that is connected by it, and the index of its interface."""

    address: Address
    network: Network
    interface: int


class Route(NamedTuple):
    """A unicast route."""

    network: Network
    hops: Hops


class Routes:
    """The routes of all tables that count, as far as there are not too many."""

    def __init__(self) -> None:
        """Start without routes."""
        self.defaults: list[Hops] = []
        """Routes to everywhere."""
        self.wide: list[Hops] = []
        """Routes to a large part of the internet."""
        self.others: list[Route] = []
        self.is_complete = True

    def add(self, prefix_length: int, data: bytes, start: int, end: int) -> None:
        """Add the rtmsg at `data[start:end]`; it is decoded only if it counts."""
        if prefix_length == 0:
            self.defaults.append(route_hops(data[start:end]))
            return
        is_short = prefix_length < 16
        if not is_short and len(self.others) >= _MAX_DECODED:
            self.is_complete = False
            return
        payload = data[start:end]
        network = route_network(payload)
        if network is None or network.address in _NOT_BEHIND:
            return
        if network.prefix_length < _SHORTEST[len(network.address)] and not _PRIVATE.contains(network.address):
            self.wide.append(route_hops(payload))
        elif len(self.others) < _MAX_DECODED:
            self.others.append(Route(network, route_hops(payload)))
        else:
            self.is_complete = False

    @property
    def has_uplink(self) -> bool:
        """Whether a route leads to the internet."""
        return bool(self.defaults or self.wide)

    def nexthops(self) -> Iterator[int]:
        """Yield the IDs of nexthop objects that contain hops, those of default routes last."""
        for hops in (*(route.hops for route in self.others), *self.wide, *self.defaults):
            yield from hops.nexthops


def interface_address(payload: bytes) -> InterfaceAddress | None:
    """Return the address of an ifaddrmsg: on point-to-point links IFA_LOCAL is ours, IFA_ADDRESS the peer's."""
    attributes = split_attributes(payload[_IFADDRMSG_BYTES:])
    peer = attributes.get(_IFA_ADDRESS, b"")
    address = address_of(attributes.get(_IFA_LOCAL) or peer)
    if address is None:
        return None
    around = peer if len(peer) == len(address) else address
    length, interface = payload[1], int.from_bytes(payload[4:8], sys.byteorder)
    return InterfaceAddress(address, network_of(around, min(length, len(around) * 8)), interface)


def route_network(payload: bytes) -> Network | None:
    """Return the destination of a route (rtmsg); None for a family other than IP."""
    raw = split_attributes(payload[_RTMSG_BYTES:]).get(_RTA_DST, b"")
    return network_of(raw, payload[1]) if len(raw) in (4, 16) and payload[1] <= len(raw) * 8 else None


def route_hops(payload: bytes) -> Hops:
    """Return the hops of a route (rtmsg), each of a multipath route.

    IDs of nexthop objects are returned only if the route itself has no gateway and no interface (sysctl
    net.ipv4.nexthop_compat_mode=0).
    """
    attributes = split_attributes(payload[_RTMSG_BYTES:])
    gateways = [*_gateways(attributes)]
    interfaces = number_of(attributes.get(_RTA_OIF, b""))
    hops = attributes.get(_RTA_MULTIPATH, b"")
    while len(hops) >= _RTNEXTHOP_BYTES:
        length = int.from_bytes(hops[:2], sys.byteorder)
        if not _RTNEXTHOP_BYTES <= length <= len(hops):
            raise MalformedRecord("netlink", f"a hop of {length} bytes where {len(hops)} are left")
        gateways += _gateways(split_attributes(hops[_RTNEXTHOP_BYTES:length]))
        interfaces += number_of(hops[4:8])
        hops = hops[(length + 3) & ~3 :]
    is_elsewhere = not gateways and not interfaces
    return Hops(gateways, interfaces, number_of(attributes.get(_RTA_NH_ID, b"")) if is_elsewhere else [])


def _gateways(attributes: dict[int, bytes]) -> Iterator[Address]:
    # RTA_VIA is an IPv6 gateway of an IPv4 route (RFC 8950): a family of two bytes, then the address.
    for raw in (attributes.get(_RTA_GATEWAY, b""), attributes.get(_RTA_VIA, b"")[2:]):
        if gateway := address_of(raw):
            yield gateway


def container_bridges(links: Iterable[bytes]) -> set[int]:
    """Return the indices of bridges without a port that leaves the node, given the ifinfomsg of all interfaces."""
    bridges, leaving = set(), set()
    for payload in links:
        attributes = split_attributes(payload[_IFINFOMSG_BYTES:])
        information = split_attributes(attributes.get(_IFLA_LINKINFO, b""))
        kind = information.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", errors="replace")
        if kind == "bridge":
            bridges.add(int.from_bytes(payload[4:8], sys.byteorder))
        if kind not in _VIRTUAL_PORTS:
            leaving.update(number_of(attributes.get(_IFLA_MASTER, b"")))
    return bridges - leaving


def follow_hops(hops: Iterable[Hops], objects: dict[int, Hops]) -> tuple[list[Address], set[int]]:
    """Return gateways and interfaces of hops, including those in nexthop objects and their groups."""
    gateways: dict[Address, None] = {}
    interfaces: set[int] = set()
    seen: set[int] = set()
    wanted = list(hops)
    while wanted:
        hop = wanted.pop()
        gateways.update(dict.fromkeys(hop.gateways))
        interfaces.update(hop.interfaces)
        for identity in hop.nexthops:
            if identity in objects and identity not in seen:
                seen.add(identity)
                wanted.append(objects[identity])
    return list(gateways), interfaces


def find_networks(
    addresses: Iterable[InterfaceAddress], routes: Routes, objects: dict[int, Hops], bridges: Collection[int]
) -> tuple[NodeNetworks, list[str]]:
    """Return the networks around the node and notices on omissions; `bridges` count if there is no default route."""
    inner = _Inner(follow_hops([*routes.defaults, *routes.wide], objects)[1], bridges)
    own = {address.address for address in addresses}
    connected = {
        (network, interface)
        for _, network, interface in addresses
        if interface != _LOOPBACK and _is_network(network) and not (network.is_host and network.address in own)
    }
    behind = {network for network, interface in connected if interface in inner}
    uplink = {network for network, interface in connected if interface not in inner}
    notices = []
    routed: set[Network] = set()
    elsewhere: set[Network] = set()
    for network, hops in routes.others if routes.is_complete else ():
        interfaces = follow_hops([hops], objects)[1]
        is_behind = bool(interfaces) and all(interface in inner for interface in interfaces)
        (routed if is_behind else elsewhere).add(network)
    inside = Networks(behind | routed)
    elsewhere = {network for network in elsewhere if network.address in inside}
    if not routes.is_complete or max(len(routed), len(elsewhere)) > MAX_ROUTES:
        routed = elsewhere = set()
        notices.append(TOO_MANY_ROUTES)
    found = NodeNetworks(
        connected=_sorted(network for network, _ in connected),
        uplink=_sorted(uplink),
        behind=_sorted(behind | routed),
        elsewhere=_sorted(uplink | elsewhere),
    )
    return found, notices


class _Inner(Container[int]):
    """The interfaces that are known not to be uplinks."""

    def __init__(self, uplinks: set[int], bridges: Collection[int]) -> None:
        self._uplinks = uplinks
        self._bridges = bridges

    def __contains__(self, interface: object) -> bool:
        if not self._uplinks:
            return interface in self._bridges
        return interface != _LOOPBACK and interface not in self._uplinks


def _is_network(network: Network) -> bool:
    """Whether this is a network of other hosts: neither loopback nor link-local nor most of the internet."""
    return network.prefix_length >= _SHORTEST[len(network.address)] and network.address not in _NOT_BEHIND


def _sorted(networks: Iterable[Network]) -> tuple[Network, ...]:
    return tuple(sorted(set(networks)))
