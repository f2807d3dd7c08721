"""Splits overlapping prefix bans into disjoint pieces, because the kernel's interval sets refuse overlaps; pure.

Every address expires with the latest of the bans that contain it. Prefixes are nested or disjoint, so bans form
clusters: a widest ban and all bans inside it. Pieces are never merged across clusters, even if they are adjacent.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TypeAlias

from monitor.model.addresses import Network, network_of

Ends: TypeAlias = Mapping[Network, float]
"""The expiry of each network, in seconds; all on the same clock."""
_Timed: TypeAlias = tuple[Network, float]


class TooManyPieces(Exception):  # noqa: N818 - named after what the caller must refuse
    """The bans would need more pieces than the set may contain."""


def pieces(bans: Ends, limit: int | None = None) -> dict[Network, float]:
    """Return the fewest disjoint prefixes that cover exactly the bans, with the latest expiry of each address.

    Families may be mixed. TooManyPieces as soon as there are more than `limit`.
    """
    found: list[_Timed] = []
    for root, inside in _clusters(bans):
        _divide(root, float("-inf"), inside, found, limit)
    return dict(found)


def difference(before: Ends, after: Ends) -> tuple[list[Network], dict[Network, float]]:
    """Return which pieces to remove and which to add; a piece with a new expiry is in both."""
    removed = [network for network, end in before.items() if after.get(network) != end]
    added = {network: end for network, end in after.items() if before.get(network) != end}
    return removed, added


def _clusters(bans: Ends) -> Iterator[tuple[Network, Sequence[_Timed]]]:
    ordered = sorted(bans.items(), key=lambda timed: (len(timed[0].address), timed[0]))
    start = 0
    for index in range(1, len(ordered) + 1):
        root = ordered[start][0]
        if index == len(ordered) or not root.contains(ordered[index][0].address):
            yield root, ordered[start:index]
            start = index


def _divide(prefix: Network, end: float, inside: Sequence[_Timed], found: list[_Timed], limit: int | None) -> None:
    """Append the pieces of `prefix` to `found`: it expires at `end`, except where one of `inside` expires later."""
    if inside and inside[0][0] == prefix:
        end = max(end, inside[0][1])
    longer = [timed for timed in inside if timed[1] > end]
    if longer:
        low, high = _halves(prefix)
        middle = next((n for n, (network, _) in enumerate(longer) if network.address >= high.address), len(longer))
        first = len(found)
        _divide(low, end, longer[:middle], found, limit)
        _divide(high, end, longer[middle:], found, limit)
        # two pieces are the two halves; with the same expiry they are one
        if len(found) != first + 2 or found[-1][1] != found[-2][1]:
            return
        end = found[-1][1]
        del found[first:]
    found.append((prefix, end))
    if limit is not None and len(found) > limit:
        raise TooManyPieces


def _halves(prefix: Network) -> tuple[Network, Network]:
    length = prefix.prefix_length + 1
    middle = int.from_bytes(prefix.address) | 1 << (prefix.bits - length)
    return Network(prefix.address, length), Network(middle.to_bytes(len(prefix.address)), length)


def covers(network: Network, known: Container[Network], lengths: Sequence[int]) -> Iterator[Network]:
    """Yield the networks of `known` that contain `network` (or equal it), widest first; `lengths`: theirs, sorted."""
    for length in lengths:
        if length > network.prefix_length:
            return
        if (wider := network_of(network.address, length)) in known:
            yield wider
