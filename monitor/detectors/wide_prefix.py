"""Failures of a whole IPv6 /48: one attacker who spreads attempts over its 65,536 prefixes of a /64 each.

A /48 is what one customer may have, and at a mobile carrier what thousands of customers share. So it counts as a source
only where it fails as often as `bans.prefixes.ipv6_48` offenders would, of which each /64 can contribute one attempt
less than makes it an offender itself. By default these are 80 proven failures of at least 20 prefixes within 10
minutes. One IPv4 address, which may stand for as many customers, is banned at 5.
"""

from collections import Counter

from monitor.detectors.limits import Limits
from monitor.detectors.scoring import SAMPLE_SIZE
from monitor.model.addresses import Address, Network, network_of
from monitor.model.alerts import Evidence
from monitor.model.window import DistinctWindow
from monitor.model.window_stats import Crossing, WindowStats

_BITS, _NARROWER_BITS = 48, 56
_BYTES, _NARROWER_BYTES = _BITS // 8, _NARROWER_BITS // 8
_ORIGIN_BYTES = 8
_PART_OF_ENTRIES = 4
_MOST_COUNTED = 255


class WidePrefix:
    """Counts failures by /48, and reports the /48 that reaches the threshold, or a /56 that most of them came from."""

    def __init__(self, limits: Limits, offenders: int) -> None:
        """Take the limits of a single source, and how many offenders ban a /48; fewer than 2: never."""
        self.maxretry = offenders * limits.maxretry
        """Failures of a /48 within `findtime_s` that make an alert."""
        self._findtime_s = limits.findtime_s
        self._most_each = min(limits.maxretry - 1, _MOST_COUNTED)
        max_entries = limits.max_entries // _PART_OF_ENTRIES
        self._window = (
            DistinctWindow(findtime_s=limits.findtime_s, maxretry=self.maxretry, max_entries=max_entries)
            if offenders > 1 and limits.maxretry > 1 and limits.ipv6_prefix in {56, 64} and self.maxretry < max_entries
            else None
        )

    def add(self, source: Address, count: int, time_s: float, stats: WindowStats) -> Crossing | None:
        """Note a failure, the `count`th of its /64; return what crossed the threshold. Losses go to `stats`."""
        if self._window is None:
            return None
        item = source[:_ORIGIN_BYTES] + bytes((min(count, self._most_each),))
        crossing = self._window.add(source[:_BYTES].ljust(_ORIGIN_BYTES, b"\0"), item, time_s)
        part = self._window.stats
        if part.evicted_keys:
            part.peak = 0
            stats.take_from(part)
        return crossing

    def network(self, source: Address, crossing: Crossing) -> Network:
        """Return what is to be banned: a /56 if three quarters of the failures are of one, the /48 otherwise."""
        by_prefix = Counter(item[:_NARROWER_BYTES] for item in crossing.items)
        prefix, count = by_prefix.most_common(1)[0]
        if 4 * count >= 3 * len(crossing.items):
            return network_of(prefix.ljust(16, b"\0"), _NARROWER_BITS)
        return network_of(source, _BITS)

    def evidence(self, crossing: Crossing, what: str, last: str) -> Evidence:
        """Describe what was counted, and the line that counted last; the sample names prefixes."""
        prefixes = dict.fromkeys(item[:_ORIGIN_BYTES] for item in crossing.items)
        sample = tuple(str(Network(prefix.ljust(16, b"\0"), 64)) for prefix in list(prefixes)[:SAMPLE_SIZE])
        what = f"{what} of {len(prefixes)} prefixes of one /48"
        return Evidence(
            len(crossing.items), self.maxretry, self._findtime_s, crossing.first_s, crossing.last_s, what, sample, last
        )
