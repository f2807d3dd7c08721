"""A set of networks, asked for addresses in time that does not grow with their number. And who is where."""

from collections.abc import Iterable

import msgspec

from monitor.model.addresses import Address, Network
from monitor.model.clients import Clients
from monitor.model.services import Services


class Networks:
    """Networks of both families; `address in networks` costs one look for each length of prefix."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Take the networks."""
        self._by_length: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
        for network in networks:
            shift = network.bits - network.prefix_length
            self._by_length[len(network.address)].setdefault(shift, set()).add(int.from_bytes(network.address) >> shift)

    def __contains__(self, address: Address) -> bool:
        """Whether the address lies in one of them."""
        number = int.from_bytes(address)
        return any(number >> shift in known for shift, known in self._by_length[len(address)].items())


class Surrounding(msgspec.Struct, frozen=True):
    """Who is where, seen from this node; detectors are given a new one whenever it changes."""

    own: frozenset[Address] = frozenset()
    """The node's own addresses."""
    pods: Networks = Networks()
    """Networks of the cluster's pods."""
    behind: Networks = Networks()
    """Networks reached through this node: of containers, pods, and of a LAN or VPN that it routes for."""
    protected: Networks = Networks()
    """All that is never banned: what the node needs, and what is allowed by configuration or command."""
    services: Services = msgspec.field(default_factory=Services)
    """Services known on this node and behind it; shared, and kept up to date."""
    clients: Clients = msgspec.field(default_factory=Clients)
    """Sources that completed handshakes lately; shared, and kept up to date."""

    def is_ours(self, address: Address) -> bool:
        """Whether an address is of this node or lies behind it."""
        return address in self.own or address in self.behind or address in self.pods

    def shelters(self, origin: bytes) -> bool:
        """Whether nobody would be banned for what is counted by this key: an address, or the first bytes of IPv6."""
        if len(origin) in (4, 16):
            return origin in self.protected
        return origin.ljust(16, b"\0") in self.protected or any(address.startswith(origin) for address in self.own)
