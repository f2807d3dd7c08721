"""Values by network, asked for addresses: the most specific network decides, found by one bisection."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Generic, TypeVar

from monitor.model.addresses import Address, Network

T = TypeVar("T")


class NetworkMap(Generic[T]):
    """An immutable map, cut once into segments that do not overlap: nested networks cost a look-up nothing."""

    def __init__(self, entries: Mapping[Network, T]) -> None:
        """Take the values; a network inside another one takes precedence there."""
        self.entries = dict(entries)
        self._segments = {size: _segments(self.entries, size) for size in (4, 16)}

    def __eq__(self, other: object) -> bool:
        """Whether it says the same of the same networks."""
        return isinstance(other, NetworkMap) and self.entries == other.entries

    __hash__ = None  # type: ignore[assignment]  # its values may have none

    def get(self, address: Address) -> tuple[Network, T] | None:
        """Return the most specific network around an address, with its value."""
        starts, found = self._segments[len(address)]
        return found[bisect_right(starts, address) - 1]

    def meeting(self, network: Network) -> list[tuple[Network, T] | None]:
        """Return what `get` returns for the addresses of a network, once for each run of addresses."""
        starts, found = self._segments[len(network.address)]
        return found[bisect_right(starts, network.address) - 1 : bisect_right(starts, network.last())]


def _segments(entries: Mapping[Network, T], size: int) -> tuple[list[Address], list[tuple[Network, T] | None]]:
    """Return where each segment of one family starts, and its entry."""
    starts: list[Address] = []
    found: list[tuple[Network, T] | None] = []

    def start(number: int, entry: tuple[Network, T] | None) -> None:
        if number >> (8 * size):
            return  # behind the last address
        address = number.to_bytes(size)
        if starts and starts[-1] == address:
            found[-1] = entry
        else:
            starts.append(address)
            found.append(entry)

    start(0, None)
    around: list[tuple[int, tuple[Network, T]]] = []

    def close(before: int | None) -> None:
        while around and (before is None or around[-1][0] < before):
            end, _ = around.pop()
            start(end + 1, around[-1][1] if around else None)

    for network in sorted(one for one in entries if len(one.address) == size):  # the outer one first
        first = int.from_bytes(network.address)
        close(first)
        entry = network, entries[network]
        start(first, entry)
        around.append((int.from_bytes(network.last()), entry))
    close(None)
    return starts, found
