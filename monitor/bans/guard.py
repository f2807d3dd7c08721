"""The guard: what must never be banned, whatever the evidence says."""

from collections.abc import Iterable

from monitor.model.addresses import Network, parse_network
from monitor.model.bans import AllowEntry

ALWAYS = tuple(
    AllowEntry(parse_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "no host: 'this network' (RFC 791)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("169.254.0.0/16", "link-local, where clouds keep metadata and time (RFC 3927)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved and broadcast (RFC 1112, RFC 919)"),
        ("::/128", "no host: unspecified (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("fe80::/10", "link-local, where routers and neighbours announce themselves (RFC 4861)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
"""Addresses no offender can have, or whose loss would cut the node off its own link."""


class Guard:
    """The allowlist: entries by network, found in time that does not grow with their number."""

    def __init__(self, entries: Iterable[AllowEntry]) -> None:
        """Take the entries in order of precedence: of two for one network the first explains it."""
        self.entries: list[AllowEntry] = []
        # By family and by length of the host part: the entries' networks as numbers without it.
        self._by_shift: dict[int, dict[int, dict[int, AllowEntry]]] = {32: {}, 128: {}}
        for entry in (*ALWAYS, *entries):
            network = entry.network
            shift = network.bits - network.prefix_length
            by_number = self._by_shift[network.bits].setdefault(shift, {})
            if by_number.setdefault(int.from_bytes(network.address) >> shift, entry) is entry:
                self.entries.append(entry)

    def protects(self, network: Network) -> AllowEntry | None:
        """Return an entry that overlaps this network: banning it would ban something allowed."""
        bits = len(network.address) * 8
        host_bits = bits - network.prefix_length
        number = int.from_bytes(network.address)
        for shift, by_number in self._by_shift[bits].items():
            if shift >= host_bits:
                entry = by_number.get(number >> shift)
                if entry is not None:
                    return entry
            else:  # only a prefix ban can hold narrower entries; those are rare, so a walk is affordable
                for entry in by_number.values():
                    if network.contains(entry.network.address):
                        return entry
        return None

    def networks(self) -> list[Network]:
        """Return all networks allowed, for the kernel's own set."""
        return [entry.network for entry in self.entries]
