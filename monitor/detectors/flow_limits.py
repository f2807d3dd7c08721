"""What detectors of flows have in common: thresholds, counts by origin, alerts."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from monitor.detectors.origins import example_of, origin_key, origin_of
from monitor.model.addresses import Address
from monitor.model.alerts import Alert, Evidence, FloodAlert, Strength
from monitor.model.flows import FlowBatch
from monitor.model.networks import Surrounding
from monitor.model.rates import RateWindow
from monitor.model.window import WindowStats

_MOST_SHELTERED = 1024


class FlowLimits(msgspec.Struct, frozen=True):
    """When to fire: `maxretry` within `findtime_s`; at most `max_entries` origins are remembered."""

    findtime_s: float
    maxretry: int
    max_entries: int = 65_536
    ipv6_prefix: int = 64
    """The addresses of such an IPv6 prefix (a multiple of 8 bits) count as one."""


class FlowDetector(ABC):
    """Takes batches of flows and raises alerts; time is that of the batch."""

    name: ClassVar[str]
    recipe: object = None
    """What the caller made it of, for comparison."""

    def __init__(self, limits: FlowLimits) -> None:
        """Take when to fire."""
        self.thresholds = limits
        self.surrounding = Surrounding()
        self.own_stats = WindowStats()

    @property
    def stats(self) -> WindowStats:
        """What is remembered, and what was forgotten early."""
        return self.own_stats

    def follow(self, surrounding: Surrounding) -> None:
        """Take up who is where."""
        self.surrounding = surrounding

    @abstractmethod
    def feed(self, batch: FlowBatch) -> Iterable[Alert | FloodAlert]:
        """Return the alerts that a batch raised."""

    @abstractmethod
    def count(self, source: Address) -> int:
        """Return how close this address is to the threshold."""


class RateDetector(FlowDetector):
    """Counts something by origin within `findtime_s`."""

    def __init__(self, limits: FlowLimits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self.rate = OriginRate(limits)

    @property
    def stats(self) -> WindowStats:
        """What is remembered, and what was forgotten early."""
        return self.rate.stats

    def follow(self, surrounding: Surrounding) -> None:
        """Take up who is where."""
        super().follow(surrounding)
        self.rate.follow(surrounding)

    def count(self, source: Address) -> int:
        """Return how much the origin of this address had lately."""
        return self.rate.count(source)


class OriginRate:
    """Counts something by origin; tells when one has too much of it."""

    def __init__(self, limits: FlowLimits) -> None:
        """Begin with nothing."""
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._rates = RateWindow(findtime_s=limits.findtime_s, maxretry=limits.maxretry, max_entries=limits.max_entries)
        self._rates.leaves_out = self._is_sheltered
        self._surrounding = Surrounding()
        self._sheltered: set[bytes] = set()

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self._rates.stats

    def follow(self, surrounding: Surrounding) -> None:
        """Take up who is never banned: those are counted, but not told of as the busiest."""
        self._surrounding = surrounding
        self._sheltered.clear()

    def _is_sheltered(self, origin: bytes) -> bool:
        """Answer at once for those asked about before: the node's own pods may be the busiest in every batch."""
        if origin in self._sheltered:
            return True
        if not self._surrounding.shelters(origin):
            return False
        if len(self._sheltered) < _MOST_SHELTERED:
            self._sheltered.add(origin)
        return True

    def add(
        self, sources: list[Address], time_s: float, weights: Iterable[int] | None = None
    ) -> Iterator[tuple[bytes, Address, int]]:
        """Count each source once, or by its weight; yield origin, one of its sources and count where it is too much."""
        if not sources:
            return
        width = self._prefix_bytes
        counts: Counter[bytes] = Counter()
        if weights is None:
            counts.update(origin_key(source, width) for source in sources)
        else:
            for source, weight in zip(sources, weights, strict=True):
                counts[origin_key(source, width)] += weight
        for origin, count in self._rates.add(counts, time_s):
            yield origin, example_of(origin, sources), int(count)

    def count(self, source: Address) -> int:
        """Return how much of it the origin of this source had lately."""
        return self._rates.count(origin_key(source, self._prefix_bytes))


def flow_alert(
    name: str,
    limits: FlowLimits,
    source: Address,
    time_s: float,
    count: int,
    what: str,
    *,
    sample: tuple[str, ...] = (),
    handshakes: bytes | None = None,
) -> Alert:
    """Make an alert about a source; `handshakes` is the key of Proofs that what was counted rests on."""
    evidence = Evidence(count, limits.maxretry, limits.findtime_s, time_s - limits.findtime_s, time_s, what, sample)
    network = origin_of(source, limits.ipv6_prefix)
    return Alert(name, time_s, source, network, network.is_host, Strength.SPOOFABLE, evidence, handshakes=handshakes)
