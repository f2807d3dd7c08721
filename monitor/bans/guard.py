"""The guard: what must never be banned, whatever the evidence says."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from monitor.bans.breadth import Breadth, breadth
from monitor.model.addresses import Address, Network, collapse, parse_network
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
    """The allowlist, searched by bisection: a look-up takes about a microsecond, whatever the number of entries."""

    def __init__(self, entries: Iterable[AllowEntry], omitted: Mapping[str, int] = MappingProxyType({})) -> None:
        """Take the entries in order of precedence: of two for one network the first explains it.

        `omitted` counts the entries that are left out because the allowlist is full, by where they come from.
        """
        self.omitted = omitted
        by_network: dict[Network, AllowEntry] = {}
        for entry in (*ALWAYS, *entries):
            by_network.setdefault(entry.network, entry)
        self.entries = list(by_network.values())
        self._breadth: Breadth | None = None
        self._networks: list[Network] | None = None
        self._outermost = {4: _Outermost(32), 16: _Outermost(128)}
        for entry in sorted(self.entries, key=_from_the_outside):
            self._outermost[len(entry.network.address)].add(entry)

    def protects(self, network: Network) -> AllowEntry | None:
        """Return an entry that overlaps this network: banning it would ban something allowed.

        Of several entries around one another this is the outermost.
        """
        return self._outermost[len(network.address)].overlapping(network)

    def shields(self, address: Address) -> bool:
        """Whether an address is allowed, as `protects` says of the address alone; a question for each event."""
        return self._outermost[len(address)].holds(int.from_bytes(address))

    def shields_any(self, addresses: Iterable[Address]) -> bool:
        """Whether one of these addresses is allowed; of thousands, much faster than asking for each."""
        by_size: dict[int, list[Address]] = {4: [], 16: []}
        for address in addresses:
            by_size[len(address)].append(address)
        return any(self._outermost[size].holds_any(sorted(some)) for size, some in by_size.items() if some)

    @property
    def breadth(self) -> Breadth:
        """How much of the Internet the entries take in, without those that are always allowed."""
        if self._breadth is None:
            self._breadth = breadth([entry.network for entry in self.entries[len(ALWAYS) :]])
        return self._breadth

    def networks(self) -> list[Network]:
        """Return the fewest networks that cover what is allowed, for the kernel's own set."""
        if self._networks is None:
            self._networks = collapse([one.network for known in self._outermost.values() for one in known.entries])
        return self._networks


class _Outermost:
    """Entries of one family that lie in no other, sorted: networks are nested or disjoint, so these are disjoint."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self.entries: list[AllowEntry] = []
        self._first: list[int] = []
        self._last: list[int] = []

    def add(self, entry: AllowEntry) -> None:
        """Take the next entry in the order of `_from_the_outside`."""
        first, last = self._ends(entry.network)
        if not self._last or first > self._last[-1]:
            self.entries.append(entry)
            self._first.append(first)
            self._last.append(last)

    def holds(self, number: int) -> bool:
        """Whether an address, as a number, lies in an entry."""
        index = bisect_right(self._first, number) - 1
        return index >= 0 and self._last[index] >= number

    def holds_any(self, addresses: Sequence[Address]) -> bool:
        """Whether one of these addresses, of which there is one at least, in order, lies in an entry.

        Entries between the lowest and the highest are looked at, or the addresses, whichever are fewer.
        """
        low, high = int.from_bytes(addresses[0]), int.from_bytes(addresses[-1])
        start, stop = bisect_left(self._last, low), bisect_right(self._first, high)
        if stop - start > len(addresses):
            return any(self.holds(int.from_bytes(address)) for address in addresses)
        for first, last in zip(self._first[start:stop], self._last[start:stop], strict=True):
            at = bisect_left(addresses, first.to_bytes(self._bits // 8))
            if at < len(addresses) and int.from_bytes(addresses[at]) <= last:
                return True
        return False

    def overlapping(self, network: Network) -> AllowEntry | None:
        """Return the last entry that overlaps a network: the one before its end, if that reaches into it."""
        first, last = self._ends(network)
        index = bisect_right(self._first, last) - 1
        return self.entries[index] if index >= 0 and self._last[index] >= first else None

    def _ends(self, network: Network) -> tuple[int, int]:
        """Return the first and the last address as numbers."""
        first = int.from_bytes(network.address)
        host_bits = self._bits - network.prefix_length
        return first, first | ((1 << host_bits) - 1) if host_bits else first


def _from_the_outside(entry: AllowEntry) -> tuple[bytes, int]:
    return entry.network.address, entry.network.prefix_length
