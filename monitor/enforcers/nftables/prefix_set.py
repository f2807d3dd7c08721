"""Plans changes of one interval set, cluster by cluster, from its wanted and its actual content; pure."""

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from monitor.enforcers.nftables.prefixes import TooManyPieces, covers, difference, pieces
from monitor.model.addresses import Address, Network

Wanted: TypeAlias = Mapping[Network, float | None]
"""The new expiry of each network (wall time, seconds); None lifts its ban."""

_SLACK_S = 1.0


class Change(msgspec.Struct, frozen=True, gc=False):
    """The change of one cluster, committed as one transaction or not at all."""

    root: Network
    wanted: dict[Network, float | None]
    forgotten: tuple[Network, ...]
    """Expired bans, and adopted pieces that a given ban explains."""
    removed: list[Network]
    added: dict[Network, float]
    ended: tuple[Network, ...]
    """Pieces that have expired in the kernel."""


class PrefixSet:
    """The prefix bans of one set with their expiry, and the pieces that the kernel holds for them.

    Pieces found in the kernel at the start are *adopted*: each counts as a separate ban until a ban is given that
    explains it, that is, contains it and expires no earlier.
    """

    def __init__(self, held: Mapping[Network, float], *, limit: int) -> None:
        """`held`: the pieces in the kernel, with their expiry in wall time (s); `limit` is for bans and for pieces."""
        self._limit = limit
        self._bans = dict(held)
        self._adopted = set(held)
        self._held = dict(held)
        self._bans_order = sorted(held)
        self._length_counts = Counter(network.prefix_length for network in held)
        self._held_order = sorted(held)

    def reread(self, held: Mapping[Network, float]) -> None:
        """Replace the known content of the kernel's set; pieces that no ban explains are adopted."""
        believed = self._held
        self._held, self._held_order = dict(held), sorted(held)
        for network in [n for n in self._adopted if n not in held]:
            self._drop(network)
        lengths = self._lengths(())
        for network, end in held.items():
            ends = [self._bans[cover] for cover in covers(network, self._bans, lengths)]
            if network in believed:  # pieces of narrower bans may have been merged
                ends.append(believed[network])
            if not ends or max(ends) + _SLACK_S < end:
                self._put(network, end)
                self._adopted.add(network)

    def prune(self, now_s: float) -> bool:
        """Forget expired bans and pieces; return whether there were any. Takes time proportional to all of them."""
        ended = [network for network, end in self._bans.items() if end <= now_s]
        gone = [network for network, end in self._held.items() if end <= now_s]
        for network in ended:
            self._drop(network)
        for network in gone:
            del self._held[network]
        self._held_order = sorted(self._held)
        return bool(ended or gone)

    def clusters(self, wanted: Wanted) -> list[dict[Network, float | None]]:
        """Split requests into clusters: requests that overlap each other or the same ban stay together."""
        known = dict.fromkeys(self._bans) | dict.fromkeys(wanted) if len(wanted) > 1 else self._bans
        lengths = self._lengths(wanted)
        parts: dict[Network, dict[Network, float | None]] = {}
        for network, end in wanted.items():
            parts.setdefault(next(covers(network, known, lengths), network), {})[network] = end
        return list(parts.values())

    def lone(self, wanted: Wanted) -> list[Network]:
        """Return the networks to ban that have no address in common with others, known or wanted; in order.

        There are none if some bans are to be lifted, if too many would be in the set, or at the end of the family.
        """
        if not wanted or None in wanted.values() or len(wanted) > self._limit - max(len(self._bans), len(self._held)):
            return []
        order = sorted(wanted)
        lasts = [network.last() for network in order]
        found: list[Network] = []
        reached = b""
        for network, last, follower in zip(order, lasts, (*order[1:], None), strict=True):
            is_apart = network.address > reached and (follower is None or follower.address > last)
            reached = max(reached, last)
            if is_apart and last != b"\xff" * len(last) and not self._meets(network, last):
                found.append(network)
        return found

    def agree(self, wanted: Wanted) -> list[Network]:
        """Record the bans that explain exactly one adopted piece, which ends as they do, and return them."""
        found = []
        for network, end in wanted.items():
            held = self._held.get(network) if network in self._adopted else None
            if held is not None and end is not None and abs(held - end) <= _SLACK_S:
                self._adopted.discard(network)
                self._bans[network] = end
                found.append(network)
        return found

    def _meets(self, network: Network, last: Address) -> bool:
        """Whether a known ban or piece has an address in common with a network that ends with `last`."""
        for order in (self._bans_order, self._held_order):
            at = bisect.bisect_left(order, network)
            if at < len(order) and order[at].address <= last:
                return True
        # Pieces are disjoint: of those before, only the nearest can reach into it.
        at = bisect.bisect_left(self._held_order, network)
        if at and self._held_order[at - 1].last() >= network.address:
            return True
        return next(covers(network, self._bans, sorted(self._length_counts)), None) is not None

    def accept_lone(self, ends: Mapping[Network, float]) -> None:
        """Record that some of `lone` are in force until these times."""
        self._length_counts.update(network.prefix_length for network in ends)
        self._bans.update(ends)
        self._held.update(ends)
        self._bans_order = sorted([*self._bans_order, *ends])
        self._held_order = sorted([*self._held_order, *ends])

    def plan(self, wanted: dict[Network, float | None], now_s: float) -> Change:
        """Plan the change of one of `clusters`; TooManyPieces if bans or pieces would exceed the limit."""
        lengths = self._lengths(wanted)
        root = min((next(covers(n, self._bans, lengths), n) for n in wanted), key=lambda n: n.prefix_length)
        bans = {n: self._bans[n] for n in _inside(self._bans_order, root)}
        given = {n: end for n, end in wanted.items() if end is not None}
        after = {n: end for n, end in bans.items() if end > now_s and n not in wanted} | given
        for network in self._explained(
            {n: end for n, end in after.items() if n in given or n not in self._adopted}, after
        ):
            del after[network]
        if len(self._bans) - len(bans) + len(after) > self._limit:
            raise TooManyPieces
        all_held = {n: self._held[n] for n in _inside(self._held_order, root)}
        held = {n: end for n, end in all_held.items() if end > now_s}
        room = self._limit - len(self._held) + len(all_held)
        removed, added = difference(held, pieces(after, limit=room))
        forgotten = tuple(n for n in bans if n not in after and n not in wanted)
        return Change(root, wanted, forgotten, removed, added, tuple(n for n in all_held if n not in held))

    def accept(self, change: Change) -> None:
        """Record that a planned change is in force."""
        for network in change.forgotten:
            self._drop(network)
        for network, end in change.wanted.items():
            self._adopted.discard(network)
            if end is None:
                self._drop(network)
            else:
                self._put(network, end)
        for network in (*change.ended, *change.removed):
            if self._held.pop(network, None) is not None:
                _delete(self._held_order, network)
        for network, end in change.added.items():
            if network not in self._held:
                bisect.insort(self._held_order, network)
            self._held[network] = end

    def covering(self, network: Network) -> list[Network]:
        """Return the pieces with the addresses of a ban: those inside it, or the one around it; empty: no such ban."""
        if network not in self._bans:
            return []
        if inside := _inside(self._held_order, network):
            return inside
        return list(covers(network, self._held, sorted({n.prefix_length for n in self._held})))

    def _explained(self, given: Mapping[Network, float], bans: Mapping[Network, float]) -> list[Network]:
        """Return the adopted networks of `bans` whose addresses are all covered for as long by `given`."""
        adopted = [network for network in bans if network not in given]
        if not adopted:
            return []
        parts = pieces(given, self._limit)
        order, lengths = sorted(parts), sorted({n.prefix_length for n in parts})
        found = []
        for network in adopted:
            over = _inside(order, network) or list(covers(network, parts, lengths))
            is_whole = sum(2.0**-part.prefix_length for part in over) >= 2.0**-network.prefix_length
            if is_whole and min(parts[part] for part in over) + _SLACK_S >= bans[network]:
                found.append(network)
        return found

    def _lengths(self, more: Iterable[Network]) -> list[int]:
        return sorted({*self._length_counts, *(network.prefix_length for network in more)})

    def _put(self, network: Network, end: float) -> None:
        if network not in self._bans:
            self._length_counts[network.prefix_length] += 1
            bisect.insort(self._bans_order, network)
        self._bans[network] = end

    def _drop(self, network: Network) -> None:
        self._adopted.discard(network)
        if self._bans.pop(network, None) is None:
            return
        _delete(self._bans_order, network)
        self._length_counts[network.prefix_length] -= 1
        if not self._length_counts[network.prefix_length]:
            del self._length_counts[network.prefix_length]


def _inside(order: list[Network], root: Network) -> list[Network]:
    # `order` has one family, sorted by address and then length: all networks inside `root` are consecutive
    first = bisect.bisect_left(order, root)
    return order[first : bisect.bisect_right(order, Network(root.last(), root.bits))]


def _delete(order: list[Network], network: Network) -> None:
    del order[bisect.bisect_left(order, network)]
