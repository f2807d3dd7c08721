"""How much of the Internet an allowlist takes in: one that allows all of it is no list, and nothing can be banned."""

from collections.abc import Collection
from typing import NamedTuple

from monitor.model.addresses import Network, collapse, parse_network

LIMIT = 0.05
"""Share of the public addresses of a family. A /4 is more, all private networks and a large cloud are less."""
_PUBLIC = {4: (parse_network("0.0.0.0/1"), parse_network("128.0.0.0/2"), parse_network("192.0.0.0/3")),
           16: (parse_network("2000::/3"),)}  # fmt: skip
"""Unicast addresses of the Internet (RFC 1112, RFC 4291)."""
_FAMILIES = {4: "IPv4", 16: "IPv6"}


class Breadth(NamedTuple):
    """The share of the public addresses, 0 to 1."""

    ipv4: float
    ipv6: float

    @property
    def problem(self) -> str:
        """Say which families can hardly be banned any more; empty if both can."""
        shares = {"IPv4": self.ipv4, "IPv6": self.ipv6}
        wide = [f"{_percent(share)} of all {name} addresses" for name, share in shares.items() if share > LIMIT]
        if not wide:
            return ""
        return f"{' and '.join(wide)} are on the allowlist: none of their sources can be banned; allow single networks"


def breadth(networks: Collection[Network]) -> Breadth:
    """Return how much of the public addresses these networks take in together, overlaps counted once."""
    shares = dict.fromkeys(_FAMILIES, 0.0)
    for network in collapse(networks):
        shares[len(network.address)] += _share(network)
    return Breadth(shares[4], shares[16])


def _share(network: Network) -> float:
    """Return the share of the public addresses of its family that one network takes in."""
    public = _PUBLIC[len(network.address)]
    return sum(_overlap(network, part) for part in public) / sum(map(_size, public))


def _overlap(one: Network, other: Network) -> int:
    """Return how many addresses two networks share: networks are nested or disjoint."""
    narrow, wide = sorted((one, other), key=lambda network: -network.prefix_length)
    bits = 8 * len(wide.address) - wide.prefix_length
    is_inside = int.from_bytes(narrow.address) >> bits == int.from_bytes(wide.address) >> bits
    return _size(narrow) if is_inside else 0


def _size(network: Network) -> int:
    return int(1 << (8 * len(network.address) - network.prefix_length))


def _percent(share: float) -> str:
    return "100 %" if share >= 1 else f"{min(share * 100, 99.9):.3g} %"
