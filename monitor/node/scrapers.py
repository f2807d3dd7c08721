"""Clients that monitor this node: who scraped its metrics, or asked for its health, regularly within the last hour.

Anyone who reaches the port can ask, so a single request proves nothing but the address: it came over a completed
handshake, and its answer was taken. What is remembered is bounded, strangers have a table apart from that of internal
hosts, and in each of them clients that ask regularly stay. Pure; time is monotonic, in seconds.
"""

from collections import Counter, deque
from collections.abc import Iterator

from monitor.model.addresses import Address

REMEMBERED_S = 3600.0
MAX_CLIENTS = 64
"""How many clients each of the two tables holds."""
_SHARE = MAX_CLIENTS // 4
"""How many of them a /64 of IPv6 may have where others want to be noted: one host has as many addresses as it likes."""
_LEAST_S, _MOST_S = 0.9, 1200.0
"""Intervals of scrapes; whoever asks more often or more seldom is no monitor."""
_TOLERANCE = 0.1
_LEAST_TOLERANCE_S = 0.5
_SERVERS = (1, 2, 3)
"""How many servers may share an address: each asks at even intervals, and they take turns."""
_MAX_TIMES = 2 * _SERVERS[-1] + 1


class Client:
    """One client: when it asked last, and whether it ever did so at even intervals."""

    __slots__ = ("is_regular", "times")

    def __init__(self) -> None:
        """Know of no request."""
        self.times: deque[float] = deque(maxlen=_MAX_TIMES)
        self.is_regular = False

    @property
    def last_s(self) -> float:
        """When it asked last."""
        return self.times[-1]


class Scrapers:
    """The clients of one table, by address."""

    def __init__(self) -> None:
        """Know of none."""
        self.clients: dict[Address, Client] = {}
        self.refused_total = 0
        """Clients that were not remembered, because all others ask regularly."""

    def note(self, address: Address, now_s: float) -> bool:
        """Take in a request; return whether it shows that the client asks regularly, for the first time."""
        client = self.clients.get(address)
        if client is None:
            if not self._has_room(address):
                self.refused_total += 1
                return False
            client = self.clients[address] = Client()
        client.times.append(now_s)
        if client.is_regular:
            return False
        client.is_regular = _is_regular(list(client.times))
        return client.is_regular

    def restore(self, address: Address, last_s: float, *, is_regular: bool) -> None:
        """Take in a client that an earlier run knew, and whether it asked regularly."""
        if address not in self.clients and self._has_room(address):
            client = self.clients[address] = Client()
            client.times.append(last_s)
            client.is_regular = is_regular

    def forget(self, now_s: float, *, kept: set[Address]) -> None:
        """Forget clients that have not asked for an hour, but for those to keep: they cannot ask."""
        self.clients = {
            address: one
            for address, one in self.clients.items()
            if now_s - one.last_s < REMEMBERED_S or address in kept
        }

    def regular(self) -> Iterator[Address]:
        """Yield the clients that ask at even intervals, those known longest first, and those of one /64 in turn."""
        found = [address for address, one in self.clients.items() if one.is_regular]
        before = Counter[bytes]()
        turns = []
        for address in found:
            turns.append(before[_host_of(address)])
            before[_host_of(address)] += 1
        return (address for _, address in sorted(zip(turns, found, strict=True), key=lambda one: one[0]))

    def _has_room(self, newcomer: Address) -> bool:
        """Whether one more client fits.

        Of those that do not ask regularly the one that asked longest ago yields; without any, the one known shortest
        of a /64 that has more than its share.
        """
        if len(self.clients) < MAX_CLIENTS:
            return True
        others = [address for address, one in self.clients.items() if not one.is_regular]
        if others:
            del self.clients[min(others, key=lambda address: self.clients[address].last_s)]
            return True
        ((most, count),) = Counter(map(_host_of, self.clients)).most_common(1)
        if count <= _SHARE or _host_of(newcomer) == most:
            return False
        del self.clients[next(address for address in reversed(self.clients) if _host_of(address) == most)]
        return True


def _host_of(address: Address) -> bytes:
    """Return what one host may have to itself: an IPv4 address, or the /64 of an IPv6 address."""
    return address if len(address) == 4 else address[:8]


def _is_regular(times: list[float]) -> bool:
    """Whether the last requests came at even intervals, of one server or of some that take turns."""
    return any(_is_even(times[-(2 * count + 1) :], count) for count in _SERVERS if len(times) > 2 * count)


def _is_even(times: list[float], servers: int) -> bool:
    spans = [after - before for before, after in zip(times, times[servers:], strict=False)]
    tolerance_s = max(_LEAST_TOLERANCE_S, _TOLERANCE * max(spans))
    return min(spans) >= _LEAST_S and max(spans) <= _MOST_S and max(spans) - min(spans) <= tolerance_s
