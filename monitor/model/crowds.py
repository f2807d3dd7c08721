"""Crowds: networks whose addresses take more than their share of a window. Pure.

One IPv6 /48 has 65,536 prefixes of a /64 each to fill a window with. So a network that takes more than its
share gets a window of its own, in which it can only push out itself. Shares are of a /48 and of a /32 for IPv6, of a
/24 and of a /16 for IPv4: what one customer has, and what one provider has.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

SHARE = 8
"""A /48 or /24 may take an eighth of a window, a /32 or /16 a quarter."""
MOST_CROWDS = 32
_SHORTEST_IPV6_KEY = 8


def networks_of(key: bytes) -> tuple[bytes, bytes]:
    """Return the /48 and the /32 (or /24 and /16) that a key starts with, as leading bytes of its address.

    Keys of IPv4 are shorter than 8 bytes, and those of IPv6 are not.
    """
    return (key[:6], key[:4]) if len(key) >= _SHORTEST_IPV6_KEY else (key[:3], key[:2])


def networks_of_origin(origin: bytes) -> tuple[bytes, bytes]:
    """Return the same of an origin (`origin_key`): only those of IPv4 have four bytes."""
    return (origin[:3], origin[:2]) if len(origin) == 4 else (origin[:6], origin[:4])


def belongs(key: bytes, network: bytes) -> bool:
    """Whether a key is about an address in a network."""
    return network in networks_of(key)


def shown(network: bytes) -> str:
    """Write a network for people; those of IPv4 have two or three bytes."""
    if len(network) < 4:
        return f"{'.'.join(map(str, network.ljust(4, bytes(1))))}/{8 * len(network)}"
    groups = (network[start : start + 2] for start in range(0, len(network), 2))
    return f"{':'.join(f'{int.from_bytes(group):x}' for group in groups)}::/{8 * len(network)}"


def find_crowds(entries: Iterable[tuple[bytes, int]]) -> list[bytes]:
    """Return the networks that take more than their share, given some or all keys and how many entries each has."""
    narrow: dict[bytes, int] = {}
    total = 0
    for key, count in entries:
        network = key[:6] if len(key) >= _SHORTEST_IPV6_KEY else key[:3]
        narrow[network] = narrow.get(network, 0) + count
        total += count
    found = _above(narrow, total / SHARE)
    wide: dict[bytes, int] = {}
    for network, count in narrow.items():
        if network not in found:
            provider = network[:4] if len(network) == 6 else network[:2]
            wide[provider] = wide.get(provider, 0) + count
    return [*found, *_above(wide, 2 * total / SHARE)]


def beyond_share(origins: Collection[bytes]) -> Iterator[bytes]:
    """Yield the origins (`origin_key`) that a /48 or /24 has more than its share of all, the first of each first."""
    networks: dict[bytes, list[bytes]] = {}
    for origin in origins:
        networks.setdefault(networks_of_origin(origin)[0], []).append(origin)
    share = max(1, len(origins) // SHARE)
    for found in networks.values():
        if len(found) > share:
            yield from found[:-share]


def _above(counts: Mapping[bytes, int], limit: float) -> list[bytes]:
    return [network for network, count in counts.items() if count > limit]
