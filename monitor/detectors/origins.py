"""Who is counted as one: an IPv4 address, or an IPv6 prefix, of whose addresses one host can use all."""

from collections.abc import Iterable

from monitor.model.addresses import Address, Network, host, network_of


def origin_key(source: Address, prefix_bytes: int) -> bytes:
    """Return the source itself, or of IPv6 the leading bytes (more than four of them, so that the two never meet)."""
    return source if len(source) == 4 else source[:prefix_bytes]


def origin_of(source: Address, ipv6_prefix: int) -> Network:
    """Return what a ban of this source bans."""
    return host(source) if len(source) == 4 else network_of(source, ipv6_prefix)


def example_of(origin: bytes, sources: Iterable[Address]) -> Address:
    """Return one of the sources that this origin stands for."""
    return origin if len(origin) == 4 else next(source for source in sources if source.startswith(origin))
