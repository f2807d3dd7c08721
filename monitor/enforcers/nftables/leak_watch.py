"""Finds whether traffic of banned sources still gets through, from counters that only grow."""

from collections.abc import Mapping

from monitor.enforcers.protocol import Stopped

_PERIOD_S = 60.0
_PACKETS_THAT_MATTER = 3


class LeakWatch:
    """Compares leak counters with those of about a minute ago."""

    def __init__(self) -> None:
        """Start without counters: leaks before the first call belong to an earlier daemon."""
        self._before: dict[str, int] = {}
        self._start: dict[str, int] = {}
        self._start_s = float("-inf")

    def grown(self, leaks: Mapping[str, Stopped], now_s: float) -> dict[str, int]:
        """Return how many packets leaked in about the last minute, by hook; a few in transit at a ban do not count."""
        seen = {hook: stopped.packets for hook, stopped in leaks.items()}
        if now_s - self._start_s > _PERIOD_S or now_s < self._start_s:
            self._before, self._start_s = self._start or seen, now_s
            self._start = seen
        before = self._before
        grown = {hook: packets - min(before.get(hook, 0), packets) for hook, packets in seen.items()}
        return {hook: packets for hook, packets in grown.items() if packets >= _PACKETS_THAT_MATTER}
