"""Clients: sources that completed handshakes lately. Somebody who forges their address must not cut them off."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from monitor.model.addresses import Address, origin_key
from monitor.model.crowds import SHARE, networks_of_origin
from monitor.model.flows import Flow
from monitor.model.saved_rows import SavedRow, largest, read_number

_LATELY_S = 1800.0
_MAX_ENTRIES = 65_536


class _Client(msgspec.Struct, gc=False):
    first_s: float
    handshakes: int = 0


class Clients:
    """Handshakes completed by origin within the last half hour to hour.

    At most 65,536 new origins within half an hour are remembered, and of one network at most its share (`crowds`);
    further ones are not (`refused_total`). So a source with many addresses can neither have others forgotten, nor keep
    others from becoming known.
    """

    def __init__(self, ipv6_prefix: int = 64) -> None:
        """Know of none; the addresses of an IPv6 prefix of this length (a multiple of 8) are one origin."""
        self.refused_total = 0
        self._prefix_bytes = ipv6_prefix // 8
        self._current: dict[bytes, _Client] = {}
        self._previous: dict[bytes, _Client] = {}
        self._taken: Counter[bytes] = Counter()
        """Origins in `_current` by network."""
        self._started_s = float("-inf")

    def __len__(self) -> int:
        """Return how many origins are remembered."""
        return len(self._current) + len(self._previous)

    def note(self, flows: Iterable[Flow], now_s: float) -> None:
        """Take in completed handshakes, and connections that were open before."""
        if not 0 <= now_s - self._started_s < _LATELY_S:
            self._previous, self._current = self._current, {}
            self._taken.clear()
            self._started_s = now_s
        known = self._current
        for flow in flows:
            origin = origin_key(flow.source, self._prefix_bytes)
            client = known.get(origin)
            if client is None:
                if not self._has_room(origin):
                    self.refused_total += 1
                    continue
                client = known[origin] = _Client(now_s)
            client.handshakes += 1

    def _has_room(self, origin: bytes) -> bool:
        """Whether one more origin of its networks may become known; counts it if so."""
        narrow, wide = networks_of_origin(origin)
        share, taken = _MAX_ENTRIES // SHARE, self._taken
        if len(self._current) >= _MAX_ENTRIES or taken[narrow] >= share or taken[wide] >= 2 * share:
            return False
        taken.update((narrow, wide))
        return True

    def export(self, limit: int) -> list[SavedRow]:
        """Return the origins with the most handshakes, at most `limit`; see `SavedWindow`."""
        known = ((origin, one.handshakes, one.first_s) for origin, one in (self._previous | self._current).items())
        return largest(known, limit)

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know the clients of an earlier run for half an hour to an hour more."""
        if not self._current:
            self._started_s = now_s
        for origin, value, first_s in rows:
            if first_s <= now_s and origin not in self._current and self._has_room(origin):
                self._current[origin] = _Client(first_s, read_number(value))

    def handshakes(self, source: Address) -> int:
        """Return how many handshakes the origin of this address completed lately."""
        return sum(client.handshakes for client in self._found(source))

    def knows(self, source: Address, before_s: float) -> bool:
        """Whether the origin of this address was a client before a time: a scanner connects while it scans."""
        return any(client.first_s < before_s for client in self._found(source))

    def _found(self, source: Address) -> Iterable[_Client]:
        origin = origin_key(source, self._prefix_bytes)
        return [known[origin] for known in (self._previous, self._current) if origin in known]
