"""How detectors count by source: each address, and for IPv6 its prefix in addition."""

from monitor.detectors.limits import Limits
from monitor.detectors.origins import origin_of
from monitor.model.addresses import Address, Network
from monitor.model.alerts import Evidence
from monitor.model.window import DistinctWindow
from monitor.model.window_stats import Crossing, WindowStats

SAMPLE_SIZE = 20
"""How many of the counted items an alert names."""


class Scores:
    """A window of keys that stand for sources, and what follows when one crosses the threshold."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing; IPv6 sources are scored by prefixes of `limits.ipv6_prefix` bits too."""
        self.window = DistinctWindow(
            findtime_s=limits.findtime_s, maxretry=limits.maxretry, max_entries=limits.max_entries
        )
        self.has_prefixes = limits.ipv6_prefix < 128
        self._limits = limits
        self._share = max(1, limits.maxretry // 3)

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self.window.stats

    def add_to_prefix(self, key: bytes, prefix_key: bytes, item: bytes, time_s: float) -> Crossing | None:
        """Count for the source's prefix too, but at most a third of the threshold for each address.

        A host that takes ever new addresses is caught by their sum. A single offender, on its way to be caught alone
        (`key` is its own), does not push its neighbours over the threshold.
        """
        if self.window.count(key) > self._share:
            return None
        return self.window.add(prefix_key, item, time_s)

    def network(self, source: Address) -> Network:
        """Return what is to be banned for a source."""
        return origin_of(source, self._limits.ipv6_prefix)

    def evidence(self, crossing: Crossing, what: str, sample: tuple[str, ...], last: str = "") -> Evidence:
        """Describe what was counted; `last` is the line or packet that counted last."""
        return Evidence(
            count=len(crossing.items),
            maxretry=self._limits.maxretry,
            findtime_s=self._limits.findtime_s,
            first_s=crossing.first_s,
            last_s=crossing.last_s,
            what=what,
            sample=sample,
            last=last,
        )
