"""Open connections: one source holds too many at a time, as slow attacks on web servers do."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeAlias

from monitor.detectors.flow_limits import FlowDetector, FlowLimits, flow_alert
from monitor.detectors.origins import origin_key
from monitor.model.addresses import Address
from monitor.model.alerts import Alert
from monitor.model.flows import Flow, FlowBatch

_MOST_PASSED_OVER = 256

_Key: TypeAlias = tuple[int | None, int, int | None]


class OpenConnections(FlowDetector):
    """Fires for a source that holds `maxretry` connections at a time; again each `findtime_s` while it goes on.

    A connection is open from its complete handshake until one end hangs up. At most `max_entries` are followed; of
    more, those that opened first are forgotten. After a gap all are: the list of the table brings back what is left.
    """

    name = "open_connections"

    def __init__(self, limits: FlowLimits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._open: OrderedDict[_Key, bytes] = OrderedDict()
        self._counts: dict[bytes, int] = {}
        self._told_s: dict[bytes, float] = {}
        self._turns = 0

    def feed(self, batch: FlowBatch) -> Iterable[Alert]:
        """Return the alerts that a batch raised."""
        if batch.has_gap:
            self._forget(batch.time_s)
        ended = {_key(flow) for flow in batch.ending}
        for key in ended:
            if (origin := self._open.pop(key, None)) is not None:
                self._leave(origin)
        begun = [(key, flow) for flow in (*batch.completed, *batch.listed) if (key := _key(flow)) not in ended]
        alerts = [alert for key, flow in begun if (alert := self._opened(key, flow, batch.time_s))]
        self.own_stats.entries = len(self._open)
        if self.own_stats.turns != self._turns:  # who holds many is busy without opening more
            self._turns = self.own_stats.turns
            self._find_peak()
        return alerts

    def count(self, source: Address) -> int:
        """Return how many connections of this source are open."""
        return self._counts.get(origin_key(source, self._prefix_bytes), 0)

    def _opened(self, key: _Key, flow: Flow, now_s: float) -> Alert | None:
        limits = self.thresholds
        if key in self._open:
            return None
        if len(self._open) >= limits.max_entries:
            self._leave(self._open.popitem(last=False)[1])
            self.own_stats.evicted_keys += 1
        origin = origin_key(flow.source, self._prefix_bytes)
        self._open[key] = origin
        count = self._counts[origin] = self._counts.get(origin, 0) + 1
        if count > self.own_stats.peak and not self.surrounding.shelters(origin):
            self.own_stats.peak = count
        if count < limits.maxretry or 0 <= now_s - self._told_s.get(origin, float("-inf")) < limits.findtime_s:
            return None
        self._told_s[origin] = now_s
        what = "connections open at a time"
        return flow_alert(self.name, limits, flow.source, now_s, count, what, handshakes=origin)

    def _find_peak(self) -> None:
        """Look through all origins, once a minute; past those of the busiest who are never banned."""
        counts = self._counts
        busiest = heapq.nlargest(_MOST_PASSED_OVER, counts, counts.__getitem__)
        self.own_stats.peak = next((counts[one] for one in busiest if not self.surrounding.shelters(one)), 0)

    def _forget(self, now_s: float) -> None:
        self._open.clear()
        self._counts.clear()
        findtime_s = self.thresholds.findtime_s
        self._told_s = {origin: told_s for origin, told_s in self._told_s.items() if 0 <= now_s - told_s < findtime_s}

    def _leave(self, origin: bytes) -> None:
        left = self._counts.pop(origin) - 1
        if left:
            self._counts[origin] = left
        else:
            self._told_s.pop(origin, None)


def _key(flow: Flow) -> _Key:
    return flow.namespace, flow.id, flow.source_port
