"""Clients: sources that completed handshakes lately. Somebody who forges their address must not cut them off."""

from collections import Counter
from collections.abc import Iterable

from monitor.model.addresses import Address
from monitor.model.flows import Flow

_LATELY_S = 300.0
_MAX_ENTRIES = 65_536
KNOWN = 4
"""Handshakes of a known client. Fewer can be guessed (see `monitor.detectors.proofs`), or be those of a scanner."""


class Clients:
    """Handshakes completed by origin within the last five to ten minutes.

    At most 65,536 origins a generation are remembered; beyond that, those of the five minutes before are forgotten
    early (`evicted_total`).
    """

    def __init__(self, ipv6_prefix: int = 64) -> None:
        """Know of none; the addresses of an IPv6 prefix of this length (a multiple of 8) are one origin."""
        self.evicted_total = 0
        self._prefix_bytes = ipv6_prefix // 8
        self._current: Counter[bytes] = Counter()
        self._previous: Counter[bytes] = Counter()
        self._started_s = float("-inf")

    def __len__(self) -> int:
        """Return how many origins are remembered."""
        return len(self._current) + len(self._previous)

    def note(self, completed: Iterable[Flow], now_s: float) -> None:
        """Take in completed handshakes."""
        is_old = not 0 <= now_s - self._started_s < _LATELY_S
        if is_old or len(self._current) >= _MAX_ENTRIES:
            if not is_old:
                self.evicted_total += len(self._previous)
            self._previous, self._current = self._current, Counter()
            self._started_s = now_s
        self._current.update(self._origin(flow.source) for flow in completed)

    def handshakes(self, source: Address) -> int:
        """Return how many handshakes the origin of this address completed lately."""
        origin = self._origin(source)
        return self._current[origin] + self._previous[origin]

    def knows(self, source: Address) -> bool:
        """Whether this is the address of a client that works with us."""
        return self.handshakes(source) >= KNOWN

    def _origin(self, source: Address) -> bytes:
        return source if len(source) == 4 else source[: self._prefix_bytes]
