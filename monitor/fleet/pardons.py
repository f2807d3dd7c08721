"""Pardons: networks that every node let go, and that nobody adopts again for a time. Bounded; pure.

A pardon bars what overlaps its network. It comes more than once, with each snapshot; only the first time it ends
claims, and only those from before it: an address that attacks again after that is banned again by whoever sees it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

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
_SAME_S = 2.0


class Pardon(msgspec.Struct, frozen=True, array_like=True):
    """One pardon; times are the node's wall time, in seconds. `node` is who pardoned, empty: this one."""

    at_s: float
    until_s: float
    reason: str
    node: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pardon).decode


class Pardons:
    """Pardons by network; of more than MAX_PARDONS the one that ends first is dropped."""

    def __init__(self, max_pardons: int = MAX_PARDONS) -> None:
        """Start with none."""
        self._max = max_pardons
        self._known: dict[Network, Pardon] = {}
        self._lengths: Counter[tuple[int, int]] = Counter()
        self.dropped_total = 0
        """Pardons that were dropped before their end."""

    def __len__(self) -> int:
        """Return how many there are, those that ended lately included."""
        return len(self._known)

    def add(self, network: Network, pardon: Pardon, now_s: float) -> bool:
        """Enter a pardon; False if it is known already, or over."""
        network = network.whole
        known = self._known.get(network)
        if pardon.until_s <= now_s:
            return False
        if known is not None and known.at_s >= pardon.at_s - _SAME_S and known.until_s >= pardon.until_s - _SAME_S:
            return False
        self.forget(network)
        if len(self._known) >= self._max:
            self.expire(now_s)
        if len(self._known) >= self._max:
            self.forget(min(self._known, key=lambda one: self._known[one].until_s))
            self.dropped_total += 1
        self._known[network] = pardon
        self._lengths[network.bits, network.prefix_length] += 1
        return True

    def forget(self, network: Network) -> None:
        """Drop a pardon."""
        if self._known.pop(network, None) is not None:
            self._lengths[network.bits, network.prefix_length] -= 1

    def expire(self, now_s: float) -> None:
        """Drop what is over."""
        for network in [one for one, pardon in self._known.items() if pardon.until_s <= now_s]:
            self.forget(network)

    def bars(self, network: Network, now_s: float) -> Pardon | None:
        """Return the pardon that keeps a network from being adopted; None if it may be."""
        if not self._known:
            return None
        for (bits, length), count in self._lengths.items():
            if count and bits == network.bits and length <= network.prefix_length:
                pardon = self._known.get(network_of(network.address, length))
                if pardon is not None and pardon.until_s > now_s:
                    return pardon
        if network.is_host:
            return None
        inside = (one for one in self._known.items() if one[1].until_s > now_s and one[0].overlaps(network))
        return next((pardon for _, pardon in inside), None)

    def own(self) -> list[Network]:
        """Return the networks that this node pardoned."""
        return [network for network, pardon in self._known.items() if not pardon.node]

    def change(self, network: Network, sequence: int, clock: EngineClock) -> Change | None:
        """Return a pardon of this node as it is published; None if it is over."""
        pardon = self._known.get(network)
        if pardon is None or pardon.node:
            return None
        text = show_network(network)
        until_s = clock.to_engine(pardon.until_s)
        reason = printable(pardon.reason)[:MAX_REASON]
        record = PardonRecord(VERSION, sequence, text, clock.to_engine(pardon.at_s), until_s, reason)
        return Change(Kind.PARDON, text.encode(), encode(record), until_s)

    def items(self) -> Iterator[tuple[Network, Pardon]]:
        """Yield networks and pardons."""
        yield from self._known.items()

    def export(self, limit: int) -> list[SavedRow]:
        """Return what must outlive a restart, at most `limit`, those of this node first; see `SavedWindow`."""
        rows = sorted(self._known.items(), key=lambda one: (bool(one[1].node), -one[1].until_s))
        return [(show_network(network).encode(), _encode(pardon), pardon.at_s) for network, pardon in rows[:limit]]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know these again; what cannot be read is left out."""
        for name, value, _ in rows:
            try:
                self.add(read_network(name.decode()), _decode(value), now_s)
            except (ValueError, msgspec.MsgspecError):
                continue
