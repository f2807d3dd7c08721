"""A set of networks, asked for addresses in time that does not grow with their number. And who is where."""

from collections.abc import Iterable

import msgspec

from monitor.model.addresses import Address, Network
from monitor.model.clients import Clients
from monitor.model.parts import in_parts
from monitor.model.pods import Pods
from monitor.model.services import Services
from monitor.model.sysctls import Ports

_PART = 4096
"""Addresses that are looked at together: each takes memory meanwhile."""


class Networks:
    """Networks of both families; `address in networks` costs one look for each length of prefix."""

    def __init__(self, networks: Iterable[Network] = (), holes: Iterable[Network] = ()) -> None:
        """Take the networks; an address in a hole counts only if one of the networks is longer, as for routes."""
        self._by_length = _by_length(networks)
        self._holes = _by_length(holes)

    def __contains__(self, address: Address) -> bool:
        """Whether the address lies in one of them."""
        number, holes = int.from_bytes(address), self._holes[len(address)]
        for shift, known in self._by_length[len(address)].items():  # the longest prefix first
            if number >> shift in known:
                return not any(number >> other in them for other, them in holes.items() if other <= shift)
        return False

    def inside(self, addresses: Iterable[Address]) -> set[Address]:
        """Return the addresses that lie in one of them; for thousands this is faster than asking for each."""
        found: list[Address] = []
        first_bytes = {size: _first_bytes(size, by_shift) for size, by_shift in self._by_length.items()}
        for part in in_parts(addresses, _PART):
            near = [address for address in part if address[0] in first_bytes[len(address)]]
            for size, by_shift in self._by_length.items():
                some = [address for address in near if len(address) == size]
                numbers = list(map(int.from_bytes, some))
                for shift, known in by_shift.items():
                    found += [one for one, number in zip(some, numbers, strict=True) if number >> shift in known]
        return {address for address in found if address in self}


def _by_length(networks: Iterable[Network]) -> dict[int, dict[int, set[int]]]:
    """Return by address length and length of the host part, shortest first, the networks as numbers without it."""
    found: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
    for network in networks:
        shift = network.bits - network.prefix_length
        found[len(network.address)].setdefault(shift, set()).add(int.from_bytes(network.address) >> shift)
    return {size: dict(sorted(by_shift.items())) for size, by_shift in found.items()}


def _first_bytes(size: int, by_shift: dict[int, set[int]]) -> frozenset[int]:
    """Return what the first byte of an address can be that lies in one of these networks."""
    to_first = 8 * (size - 1)
    return frozenset(
        byte
        for shift, known in by_shift.items()
        for number in known
        for byte in range(number << shift >> to_first, (((number + 1) << shift) - 1 >> to_first) + 1)
    )


class NodeNetworks(msgspec.Struct, frozen=True):
    """The networks around the node as its interfaces and routes have them; none is loopback or link-local."""

    connected: tuple[Network, ...] = ()
    """Networks of the node's interfaces."""
    uplink: tuple[Network, ...] = ()
    """Those of them on interfaces of default routes; without a default route, on all but container bridges."""
    behind: tuple[Network, ...] = ()
    """Networks connected to or routed by other interfaces than those of `uplink`."""
    elsewhere: tuple[Network, ...] = ()
    """Networks that may lie inside `behind` by number, but are reached by an uplink."""

    @property
    def inner(self) -> tuple[Network, ...]:
        """Connected networks that have nothing in common with those of an uplink, where neighbours may be strangers."""
        return tuple(one for one in self.connected if not any(one.overlaps(other) for other in self.uplink))


class Surrounding(msgspec.Struct, frozen=True):
    """Who is where, seen from this node; detectors are given a new one whenever it changes."""

    own: frozenset[Address] = frozenset()
    """The node's own addresses."""
    pods: Networks = Networks()
    """Networks of the cluster's pods."""
    protected: Networks = Networks()
    """All that is never banned: what the node needs, and what is allowed by configuration or command."""
    connected: Networks = Networks()
    """Networks of the node's interfaces. Here and below, node addresses are inside: check `own` first."""
    behind: Networks = Networks()
    """Networks reached through this node: containers, pods, the LAN of a router, networks of VPN peers."""
    internal: Networks = Networks()
    """Networks whose hosts are not strangers: `bans.internal`, and connected networks other than an uplink's."""
    spares_internal: bool = True
    """Whether evidence that anyone can forge bans no source in an internal network."""
    client_ports: Ports = Ports()
    """The ports of the node's own clients: UDP to these is taken for a late reply."""
    services: Services = msgspec.field(default_factory=Services)
    """Services known on this node and behind it; shared, and kept up to date."""
    clients: Clients = msgspec.field(default_factory=Clients)
    """Sources that completed handshakes lately; shared, and kept up to date."""
    names: Pods = msgspec.field(default_factory=Pods)
    """Names of the pods on this node, for texts only; shared, and kept up to date."""

    def is_ours(self, address: Address) -> bool:
        """Whether an address is of this node or lies behind it."""
        return address in self.own or address in self.behind or address in self.pods

    def shelters(self, origin: bytes) -> bool:
        """Whether nobody would be banned for what is counted by this key: an address, or the first bytes of IPv6."""
        if len(origin) in (4, 16):
            return origin in self.protected
        return origin.ljust(16, b"\0") in self.protected or any(address.startswith(origin) for address in self.own)
