"""What no block list may ban: networks built in (`never.yaml`), those of the node, and those that are allowed. Pure.

An entry inside one of them is dropped; an entry around one loses that part and keeps the rest. Dropping the whole
entry would let one allowed address in a large network switch the list off; keeping it whole would leave it to the
kernel's allow sets alone.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from monitor.model.addresses import Network, parse_network


class NeverEntry(NamedTuple):
    """A network that no list may ban, and the word for why in counts."""

    network: Network
    reason: str


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str
    source: str
    checked: str
    networks: tuple[str, ...]


@functools.cache
def built_in() -> tuple[NeverEntry, ...]:
    """Return the entries of `never.yaml`."""
    text = Path(__file__).with_name("never.yaml").read_text(encoding="utf-8")
    sections = msgspec.convert(yaml.load(text, yaml.CSafeLoader), list[_Section])
    return tuple(NeverEntry(parse_network(network), one.reason) for one in sections for network in one.networks)


class Overlap(NamedTuple):
    """What is left of a network, as ranges of numbers, and why the rest is not."""

    reasons: tuple[str, ...]
    left: list[tuple[int, int]]


class Never:
    """The entries, searched by bisection. Of two for one address, the one that starts the wider network explains it."""

    def __init__(self, entries: Iterable[NeverEntry]) -> None:
        """Take the entries in any order; the first of two for one network explains it."""
        by_network: dict[Network, str] = {}
        for network, reason in entries:
            by_network.setdefault(network, reason)
        self._families = {size: _Family(by_network, size) for size in (4, 16)}

    def overlap(self, first: int, last: int, size: int) -> Overlap | None:
        """Return what is left of the addresses from `first` to `last`; None if nothing is to be taken away.

        `size` is that of an address in bytes.
        """
        return self._families[size].overlap(first, last)


class _Family:
    """Disjoint ranges of one family, sorted."""

    def __init__(self, entries: dict[Network, str], size: int) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._reasons: list[str] = []
        for network in sorted(one for one in entries if len(one.address) == size):
            first, last = int.from_bytes(network.address), int.from_bytes(network.last())
            if not self._lasts or first > self._lasts[-1]:  # networks are nested or disjoint
                self._firsts.append(first)
                self._lasts.append(last)
                self._reasons.append(entries[network])

    def overlap(self, first: int, last: int) -> Overlap | None:
        end = bisect_right(self._firsts, last)
        if not end or self._lasts[end - 1] < first:
            return None
        start = bisect_right(self._lasts, first - 1) if first else 0
        left = []
        for index in range(start, end):
            if first < self._firsts[index]:
                left.append((first, self._firsts[index] - 1))
            first = self._lasts[index] + 1
        if first <= last:
            left.append((first, last))
        return Overlap(tuple(dict.fromkeys(self._reasons[start:end])), left)


def networks_of(first: int, last: int, bits: int) -> Iterator[tuple[int, int]]:
    """Yield the fewest networks that are exactly the addresses from `first` to `last`: number and prefix length."""
    while first <= last:
        host_bits = min(bits, (first & -first).bit_length() - 1 if first else bits, (last - first + 1).bit_length() - 1)
        yield first, bits - host_bits
        first += 1 << host_bits


def within(network_first: int, network_last: int, size: int, others: Sequence[Network]) -> bool:
    """Whether a range lies inside one of the other networks."""
    return any(
        len(other.address) == size
        and int.from_bytes(other.address) <= network_first
        and network_last <= int.from_bytes(other.last())
        for other in others
    )
