"""Where probes come from: for each zone an interface and source addresses that no rule names.

A source that a set or a rule names would be judged as that source, not as its zone. So candidates are compared with all
addresses and networks in the text of the rules, and those that fewest of them cover are taken. World sources are
ordinary public addresses, since many rules drop addresses that are reserved for documentation; the packets never leave.
Each probe has a source of its own where the network is large enough: rules count packets by source.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.audit.findings import Zone
from monitor.audit.kernel.site import Link, Site

_WORLD4 = "81.169 93.184 62.113 185.12 145.14 201.17 41.203 103.21 24.48 12.40 133.11 193.99"
_WORLD6 = "2a01:4f8:17 2a02:2e0:3fe 2600:1f18:24e 2001:470:7b 2803:9800:98 2407:30c0:18 2c0f:f248:10"
"""Starts of /16 and /48 networks in several regions."""
_LITERAL = re.compile(
    rb"(?<![\w.:])((?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?:/(\d{1,3})|-((?:\d{1,3}\.){3}\d{1,3}"
    rb"|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}))?(?![\w:])"
)
_MAX_LITERALS = 400_000
_SOURCES = 200
_MAX_POD_LINKS = 4
_GENERAL_BITS = 2
"""Networks with fewer bits than this mean everywhere."""
_Range = tuple[int, int]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where probes of a zone arrive, and from where."""

    zone: Zone
    link: Link
    sources: tuple[str, ...]
    is_v6: bool


class Literals:
    """The addresses and networks that the rules name, as ranges of numbers by family."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        found: dict[bool, set[_Range]] = {False: set(), True: set()}
        for text in texts:
            for first, length, last in _LITERAL.findall(text):
                if one := _range(first, length, last):
                    is_v6, covered = one
                    if len(found[is_v6]) < _MAX_LITERALS:
                        found[is_v6].add(covered)
        self._ranges = {is_v6: sorted(ranges) for is_v6, ranges in found.items()}

    def count(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> int:
        """Return how many of them overlap a network."""
        low, high = int(network.network_address), int(network.broadcast_address)
        return sum(first <= high and last >= low for first, last in self._ranges[network.version == 6])

    def near(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[_Range]:
        """Return those inside a network, not those that cover all of it."""
        low, high = int(network.network_address), int(network.broadcast_address)
        ranges = self._ranges[network.version == 6]
        return [one for one in ranges if one[0] <= high and one[1] >= low and not (one[0] <= low and one[1] >= high)]


def _range(first: bytes, length: bytes, last: bytes) -> tuple[bool, _Range] | None:
    is_v6 = b":" in first
    family, bits = (socket.AF_INET6, 128) if is_v6 else (socket.AF_INET, 32)
    try:
        low = int.from_bytes(socket.inet_pton(family, first.decode()))
        high = int.from_bytes(socket.inet_pton(family, last.decode())) if last else low
    except OSError:
        return None
    if length:
        if not _GENERAL_BITS <= int(length) <= bits:
            return None
        size = 1 << (bits - int(length))
        low -= low % size
        high = low + size - 1
    return is_v6, (low, high)


def find_origins(site: Site, literals: Literals, zones: Sequence[Zone], pods: Sequence[str] = ()) -> Iterator[Origin]:
    """Yield for each zone and family where probes come from; `pods` are further networks of pods."""
    for is_v6 in (False, True):
        uplinks = [link for link in site.uplinks(is_v6=is_v6) if any(_of_family(link, is_v6))]
        if Zone.WORLD in zones and uplinks:
            yield Origin(zone=Zone.WORLD, link=uplinks[0], sources=_world(literals, site, is_v6=is_v6), is_v6=is_v6)
        if Zone.NODES in zones:
            for link in uplinks[:1] + [one for one in _others(site, is_v6=is_v6) if one not in uplinks[:1]]:
                if sources := _neighbours(link, site, literals, is_v6=is_v6):
                    yield Origin(zone=Zone.NODES, link=link, sources=sources, is_v6=is_v6)
        if Zone.PODS in zones:
            yield from _pod_origins(site, literals, pods, is_v6=is_v6)


def _of_family(link: Link, is_v6: bool) -> Iterator[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:  # noqa: FBT001
    return (one for one in link.interfaces() if (one.version == 6) == is_v6)


def _others(site: Site, *, is_v6: bool) -> list[Link]:
    """Return the further interfaces that neighbours are behind."""
    return [
        link
        for link in site.links
        if not link.is_loopback
        and link.is_up
        and not site.is_for_pods(link)
        and any(one.network.num_addresses > 1 for one in _of_family(link, is_v6))
    ]


def _world(literals: Literals, site: Site, *, is_v6: bool) -> tuple[str, ...]:
    routed = [ipaddress.ip_network(r.to) for r in site.routes if not r.is_default and r.is_v6 == is_v6]
    texts = [f"{one}::/48" for one in _WORLD6.split()] if is_v6 else [f"{one}.0.0/16" for one in _WORLD4.split()]
    networks = [ipaddress.ip_network(text) for text in texts]
    free = [one for one in networks if not any(one.overlaps(route) for route in routed)] or networks
    best = min(free, key=literals.count)
    return _choose(best, literals, set())


def _neighbours(link: Link, site: Site, literals: Literals, *, is_v6: bool) -> tuple[str, ...]:
    interfaces = list(_of_family(link, is_v6))
    if not interfaces:
        return ()
    network = interfaces[0].network
    if network.num_addresses == 1:
        # clouds give a single address: neighbours are in its vicinity, behind the gateway
        network = ipaddress.ip_network(f"{interfaces[0].ip}/{64 if is_v6 else 24}", strict=False)
    taken = {int(one.ip) for any_link in site.links for one in any_link.interfaces()}
    taken |= {int(ipaddress.ip_address(r.via)) for r in site.routes if r.via and (":" in r.via) == is_v6}
    return _choose(network, literals, taken)


def _choose(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, literals: Literals, taken: set[int]
) -> tuple[str, ...]:
    """Return addresses of a network that the fewest rules name; the first ones are often gateways and servers."""
    near = literals.near(network)
    kind = type(network.network_address)
    low, size = int(network.network_address), min(network.num_addresses, 1 << 32)
    usable = range(low, low + size) if size <= 2 else range(low + 1, low + size - 1)
    step = max(1, min(len(usable) // (2 * _SOURCES), 257))
    start = len(usable) // 3
    order = [usable[(start + number * step) % len(usable)] for number in range(min(4 * _SOURCES, len(usable)))]
    ranked = sorted(
        (sum(first <= one <= last for first, last in near), number, one)
        for number, one in enumerate(dict.fromkeys(order))
        if one not in taken
    )
    return tuple(str(kind(one)) for hits, _, one in ranked if hits == ranked[0][0])[:_SOURCES]


def _pod_origins(site: Site, literals: Literals, pods: Sequence[str], *, is_v6: bool) -> Iterator[Origin]:
    count = 0
    taken = {int(one.ip) for link in site.links for one in link.interfaces()}
    for link in site.links:
        sources: tuple[str, ...] = ()
        if site.is_for_pods(link):
            networks = [one.network for one in _of_family(link, is_v6) if one.network.num_addresses > 1]
            sources = _choose(networks[0], literals, taken) if networks else ()
            sources = sources or tuple(one for one in site.host_routes(link) if (":" in one) == is_v6)[:1]
        if not sources and (network := _routed_to(site, link, pods, is_v6=is_v6)) is not None:
            sources = _choose(network, literals, taken)
        if sources and count < _MAX_POD_LINKS:
            count += 1
            yield Origin(zone=Zone.PODS, link=link, sources=sources, is_v6=is_v6)


def _routed_to(
    site: Site, link: Link, pods: Sequence[str], *, is_v6: bool
) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the network of pods that is behind an interface; None if there is none."""
    for text in pods:
        network = ipaddress.ip_network(text, strict=False)
        if (network.version == 6) != is_v6:
            continue
        covers = [
            route
            for route in site.routes
            if route.is_v6 == is_v6 and not route.is_default and ipaddress.ip_network(route.to).overlaps(network)
        ]
        if any(route.link == link.name and not route.via for route in covers):
            return network
    return None
