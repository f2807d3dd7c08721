"""Pardons: networks that every node let go, and that nobody adopts again for a time. Bounded; pure.

A pardon bars what overlaps its network. It comes more than once, with each snapshot; only the first time it ends
claims, and only those from before it: an address that attacks again after that is banned again by whoever sees it.

Those of this node and those of peers are kept apart: a peer neither shortens what the operator here ordered nor what
another peer did, and a flood of one peer's pardons pushes out nobody's but its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from monitor.fleet.engine import Change, Kind
from monitor.fleet.fields import read_network, show_network
from monitor.fleet.records import MAX_REASON, VERSION, PardonRecord, encode
from monitor.fleet.times import EngineClock
from monitor.model.addresses import Network, network_of
from monitor.model.printable import printable
from monitor.model.saved_rows import SavedRow

MAX_PARDONS = 1024
MAX_PARDON_S = 7 * 86400.0
"""For how long a network is barred at most: what its peers claimed has ended by then."""
WIDEST_PARDON = {32: 16, 128: 32}
"""By bits of an address, the shortest prefix: the most that a peer can hold is 2 % of the addresses."""
_SAME_S = 2.0


def is_too_wide(network: Network) -> bool:
    """Whether a network is wider than any that is pardoned."""
    return network.prefix_length < WIDEST_PARDON[network.bits]


class Pardon(msgspec.Struct, frozen=True, array_like=True):
    """One pardon; times are the node's wall time, in seconds. `node` is who pardoned, empty: this one."""

    at_s: float
    until_s: float
    reason: str
    node: str = ""

    @property
    def text(self) -> str:
        """Who gave it, and why."""
        who = f"by {self.node or 'this node'}"
        return f"{who}: {printable(self.reason)}" if self.reason else who


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pardon).decode


class _Table:
    """Pardons by network, and how many there are of each length of prefix and of each node."""

    def __init__(self) -> None:
        self.known: dict[Network, Pardon] = {}
        self.of_node: Counter[str] = Counter()
        self._lengths: Counter[tuple[int, int]] = Counter()

    def put(self, network: Network, pardon: Pardon) -> None:
        self.drop(network)
        self.known[network] = pardon
        self.of_node[pardon.node] += 1
        self._lengths[network.bits, network.prefix_length] += 1

    def drop(self, network: Network) -> None:
        if (gone := self.known.pop(network, None)) is not None:
            self._lengths[network.bits, network.prefix_length] -= 1
            self.of_node[gone.node] -= 1
            if not self.of_node[gone.node]:
                del self.of_node[gone.node]

    def drop_if(self, which: Callable[[Pardon], bool]) -> None:
        for network in [one for one, pardon in self.known.items() if which(pardon)]:
            self.drop(network)

    def bars(self, network: Network, now_s: float) -> Pardon | None:
        for (bits, length), count in self._lengths.items():
            if count and bits == network.bits and length <= network.prefix_length:
                pardon = self.known.get(network_of(network.address, length))
                if pardon is not None and pardon.until_s > now_s:
                    return pardon
        if network.is_host:
            return None
        inside = (one for one in self.known.items() if one[1].until_s > now_s and one[0].overlaps(network))
        return next((pardon for _, pardon in inside), None)


class Pardons:
    """Pardons by network, at most MAX_PARDONS of this node and as many of all peers.

    Beyond that one of the peer that has the most is dropped: the new one if it is that peer's, otherwise the one that
    ends first.
    """

    def __init__(self, max_pardons: int = MAX_PARDONS) -> None:
        """Start with none."""
        self._max = max_pardons
        self._own = _Table()
        self._peers = _Table()
        self.dropped_total = 0
        """Pardons that were dropped before their end."""

    def __len__(self) -> int:
        """Return how many there are, those that ended lately included."""
        return len(self._own.known) + len(self._peers.known)

    def add(self, network: Network, pardon: Pardon, now_s: float) -> bool:
        """Enter a pardon; False if it is known already, or over."""
        network = network.whole
        table = self._peers if pardon.node else self._own
        known = table.known.get(network)
        if pardon.until_s <= now_s:
            return False
        if known is not None and known.at_s >= pardon.at_s - _SAME_S and known.until_s >= pardon.until_s - _SAME_S:
            return False
        if known is not None and known.node != pardon.node and known.until_s > pardon.until_s:
            pardon = msgspec.structs.replace(known, at_s=pardon.at_s)
        if known is None and len(table.known) >= self._max:
            self.dropped_total += 1
            most = max(table.of_node.values())
            if pardon.node and table.of_node[pardon.node] >= most:
                return False
            loser = next(node for node, count in table.of_node.items() if count == most)
            of_loser = (network for network, one in table.known.items() if one.node == loser)
            table.drop(min(of_loser, key=lambda one: table.known[one].until_s))
        table.put(network, pardon)
        return True

    def forget(self, network: Network) -> None:
        """Drop a pardon of this node."""
        self._own.drop(network)

    def forget_peer(self, node: str) -> None:
        """Drop the pardons of a peer: it is only observed from now on."""
        self._peers.drop_if(lambda one: one.node == node)

    def forget_peers(self) -> None:
        """Drop the pardons of all peers."""
        self._peers = _Table()

    def shift(self, step_s: float) -> None:
        """Take that the wall clock was set by `step_s`: pardons last as long as before."""
        for table in (self._own, self._peers):
            for network, one in table.known.items():
                later = msgspec.structs.replace(one, at_s=one.at_s + step_s, until_s=one.until_s + step_s)
                table.known[network] = later

    def expire(self, now_s: float) -> None:
        """Drop what is over."""
        for table in (self._own, self._peers):
            table.drop_if(lambda one: one.until_s <= now_s)

    def bars(self, network: Network, now_s: float) -> Pardon | None:
        """Return the pardon that keeps a network from being adopted; None if it may be."""
        for table in (self._own, self._peers):
            if table.known and (pardon := table.bars(network, now_s)) is not None:
                return pardon
        return None

    def own(self) -> list[Network]:
        """Return the networks that this node pardoned."""
        return list(self._own.known)

    def change(self, network: Network, sequence: int, clock: EngineClock) -> Change | None:
        """Return a pardon of this node as it is published; None if it is over."""
        pardon = self._own.known.get(network)
        if pardon is None:
            return None
        text = show_network(network)
        until_s = clock.to_engine(pardon.until_s)
        reason = printable(pardon.reason)[:MAX_REASON]
        record = PardonRecord(VERSION, sequence, text, clock.to_engine(pardon.at_s), until_s, reason)
        return Change(Kind.PARDON, text.encode(), encode(record), until_s)

    def items(self) -> Iterator[tuple[Network, Pardon]]:
        """Yield networks and pardons."""
        yield from self._own.known.items()
        yield from self._peers.known.items()

    def export(self, limit: int) -> list[SavedRow]:
        """Return what must outlive a restart, at most `limit`, those of this node first; see `SavedWindow`."""
        rows = sorted(self.items(), key=lambda one: (bool(one[1].node), -one[1].until_s))
        return [(show_network(network).encode(), _encode(pardon), pardon.at_s) for network, pardon in rows[:limit]]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know these again; what cannot be read is left out."""
        for name, value, _ in rows:
            try:
                pardon = _decode(value)
                until_s = min(pardon.until_s, now_s + MAX_PARDON_S)  # the clock may be years off until it is set
                at_s = min(pardon.at_s, now_s)
                pardon = msgspec.structs.replace(pardon, at_s=at_s, until_s=until_s)
                self.add(read_network(name.decode()), pardon, now_s)
            except (ValueError, msgspec.MsgspecError):
                continue
