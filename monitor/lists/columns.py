"""The networks of a list as sorted columns: looked up by bisection, thinned out, compared. Pure.

A list of a million networks takes five megabytes here, and a look-up a few microseconds. Networks of a list do not
overlap, so at most one of them contains an address.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias, overload

from monitor.lists.file import PackedNetworks
from monitor.model.addresses import Address, Network

Entry: TypeAlias = tuple[Address, int]
"""An address and the length of its prefix."""

NOTHING = PackedNetworks(array("I"), b"", b"", b"")


class _Wide(Sequence[int]):
    """Addresses of IPv6 as numbers."""

    __hash__ = None  # type: ignore[assignment]  # compared as arrays are

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // 16

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Wide) and self._packed == other._packed

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> "_Wide": ...
    def __getitem__(self, index: int | slice) -> "int | _Wide":
        if isinstance(index, slice):
            first, after, _ = index.indices(len(self))
            return _Wide(self._packed[16 * first : 16 * after])
        if not 0 <= index < len(self):
            raise IndexError(index)
        return int.from_bytes(self._packed[16 * index : 16 * index + 16])


class Family(NamedTuple):
    """The networks of one family, sorted, without overlaps."""

    size: int
    """Bytes of an address."""
    starts: Sequence[int]
    lengths: bytes

    def end(self, index: int) -> int:
        """Return the number after the last address of an entry."""
        return self.starts[index] + (1 << (8 * self.size - self.lengths[index]))

    def first_from(self, number: int) -> int:
        """Return the index of the first entry that starts at an address or after it."""
        return bisect_left(self.starts, number)

    def around(self, number: int) -> int | None:
        """Return the index of the entry that contains an address."""
        index = bisect_right(self.starts, number) - 1
        return index if index >= 0 and number < self.end(index) else None

    def entries(self, first: int, after: int) -> list[Entry]:
        """Return the entries from one index up to another, which is not included."""
        size = self.size
        starts = [number.to_bytes(size) for number in self.starts[first:after]]
        return list(zip(starts, self.lengths[first:after], strict=True))

    def network(self, index: int) -> Network:
        """Return an entry as a network."""
        return Network(self.starts[index].to_bytes(self.size), self.lengths[index])


def families(networks: PackedNetworks) -> tuple[Family, Family]:
    """Return the networks of IPv4 and those of IPv6."""
    return Family(4, networks.v4, networks.v4_lengths), Family(16, _Wide(networks.v6), networks.v6_lengths)


def overlapping(networks: PackedNetworks, wanted: Network, limit: int) -> list[Network]:
    """Return the entries that share addresses with a network, at most `limit` of them: one, if it is an address."""
    family = families(networks)[len(wanted.address) == 16]
    first = int.from_bytes(wanted.address)
    start = family.around(first)
    index = family.first_from(first) if start is None else start
    after = min(family.first_from(int.from_bytes(wanted.last()) + 1), index + limit)
    return [family.network(one) for one in range(index, after)]


def counts(networks: PackedNetworks) -> dict[str, int]:
    """Return how many single addresses (`4`, `6`) and wider networks (`4_nets`, `6_nets`) there are.

    Without those of a set whose last network ends with the last address: kernels count it as half a network.
    """
    found = {}
    for name, family in zip(("4", "6"), families(networks), strict=True):
        bits, count = 8 * family.size, len(family.lengths)
        found[name] = family.lengths.count(bits)
        if not (count and family.lengths[-1] < bits and family.end(count - 1) == 1 << bits):
            found[f"{name}_nets"] = count - found[name]
    return found


def without(networks: PackedNetworks, allowed: Iterable[Network]) -> PackedNetworks:
    """Return the networks without those that lie in allowed ones, which must be disjoint.

    An entry around an allowed network stays: the kernel accepts what is allowed before it looks at lists.
    """
    gone: tuple[list[range], list[range]] = [], []
    of_families = families(networks)
    for one in allowed:
        is_wide = len(one.address) == 16
        family = of_families[is_wide]
        after_last = int.from_bytes(one.last()) + 1
        first, after = family.first_from(int.from_bytes(one.address)), family.first_from(after_last)
        if first < after and family.end(first) > after_last:  # it starts where the allowed network does, and is wider
            first += 1
        if first < after:
            gone[is_wide].append(range(first, after))
    if not any(gone):
        return networks
    v4, v4_lengths = array("I"), bytearray()
    for first, after in _kept(gone[0], len(networks.v4_lengths)):
        v4 += networks.v4[first:after]
        v4_lengths += networks.v4_lengths[first:after]
    v6, v6_lengths = bytearray(), bytearray()
    for first, after in _kept(gone[1], len(networks.v6_lengths)):
        v6 += networks.v6[16 * first : 16 * after]
        v6_lengths += networks.v6_lengths[first:after]
    return PackedNetworks(v4, bytes(v4_lengths), bytes(v6), bytes(v6_lengths))


def _kept(gone: list[range], count: int) -> Iterator[tuple[int, int]]:
    """Yield what is between ranges of indices, as first and after-last index."""
    first = 0
    for one in sorted(gone, key=lambda one: one.start):
        yield first, one.start
        first = one.stop
    yield first, count
