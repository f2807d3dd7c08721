"""How detectors count by source: each address, and for IPv6 its prefix beside it."""

from monitor.model.addresses import Address, Network, host, network_of
from monitor.model.alerts import Evidence
from monitor.model.window import Crossing, DistinctWindow, WindowStats

SAMPLE_SIZE = 20
"""How many of the things counted an alert names."""


class Scores:
    """A window of keys that stand for sources, with what is done when one crosses the threshold."""

    def __init__(self, *, findtime_s: float, maxretry: int, max_entries: int, ipv6_prefix: int) -> None:
        """Begin with nothing; IPv6 sources are scored by prefixes of `ipv6_prefix` bits (a multiple of 8) too."""
        self.window = DistinctWindow(findtime_s=findtime_s, maxretry=maxretry, max_entries=max_entries)
        self.has_prefixes = ipv6_prefix < 128
        self._findtime_s = findtime_s
        self._maxretry = maxretry
        self._ipv6_prefix = ipv6_prefix
        self._share = max(1, maxretry // 3)

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self.window.stats

    def add_to_prefix(self, key: bytes, prefix_key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Count for the source's prefix too, but of each address only a third of the threshold at most.

        A host that takes ever new addresses is caught by their sum. A single offender, who is on the way to be caught
        by itself (`key` is its own), does not push its neighbours over the threshold.
        """
        if self.window.count(key) > self._share:
            return None
        return self.window.add(prefix_key, item, time_s)

    def network(self, source: Address) -> Network:
        """Return what is to be banned for a source."""
        return host(source) if len(source) == 4 else network_of(source, self._ipv6_prefix)

    def evidence(self, crossing: Crossing, what: str, sample: tuple[str, ...]) -> Evidence:
        """Say what was seen."""
        return Evidence(
            count=len(crossing.items),
            maxretry=self._maxretry,
            findtime_s=self._findtime_s,
            first_s=crossing.first_s,
            last_s=crossing.last_s,
            what=what,
            sample=sample,
        )
