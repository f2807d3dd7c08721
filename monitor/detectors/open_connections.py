"""Open connections: one source holds too many at a time, as slow attacks on web servers do."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.detectors.detector import Detector
from monitor.detectors.kept import Extent, Kept, changed_limits
from monitor.detectors.limits import Limits
from monitor.detectors.origins import origin_alert
from monitor.detectors.probes import our_party, show_packet
from monitor.detectors.registration import Registration
from monitor.detectors.settings import BANTIME, ENTRIES, RECENT, WindowSettings
from monitor.model.addresses import Address, Network, origin_key
from monitor.model.aged_keys import AgedKeys
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.crowds import SHARE, networks_of_origin
from monitor.model.flows import Flow, FlowBatch, FlowKey, flow_key

_MOST_PASSED_OVER = 256


class OpenConnectionsSettings(WindowSettings, frozen=True, kw_only=True):
    """One source holds too many connections open."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. Proxies, load balancers "
            "and networks behind one address hold many connections: put yours on the allowlist before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, RECENT, Meta(description="Minimum interval between alerts for the same source.")] = (
        field(default=60.0, name="findtime")
    )
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 1_000_000),
        Meta(description="Alert when a source holds this many connections open."),
    ] = 750
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of open connections followed: the bound on memory.")
    ] = 65_536


class OpenConnectionsDetector(Detector[FlowBatch]):
    """Fires for a source that holds `maxretry` connections at a time; again each `findtime_s` while it lasts.

    A connection is open from its complete handshake until one end hangs up. At most `max_entries` are followed; beyond
    that, the oldest are forgotten, first those of a network with more than its share. After a gap all are forgotten:
    the listing of the table restores what is left.
    """

    name = "open_connections"
    takes = (FlowBatch,)

    def __init__(self, limits: Limits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._open: AgedKeys[FlowKey, bytes] = AgedKeys()
        self._counts: dict[bytes, int] = {}
        self._reported_s: dict[bytes, float] = {}
        self._turns = 0
        self._surplus: deque[FlowKey] = deque()
        """Connections to forget first, when there are too many."""
        self._search_at = 0
        """Number of evictions at which to look for a surplus again."""

    def feed(self, events: Sequence[FlowBatch]) -> list[Alert]:
        """Return the alerts that batches raised."""
        return [alert for batch in events for alert in self._take(batch)]

    def take_over(self, old: Detector[Any], now_s: float) -> Kept:
        """Continue with the connections that are open: neither threshold nor interval says which these are."""
        del now_s
        if not isinstance(old, OpenConnectionsDetector) or old.limits.ipv6_prefix != self.limits.ipv6_prefix:
            return Kept(Extent.NOTHING, "bans.prefixes.ipv6_score changed: open connections are counted anew")
        self._open, self._counts, self._reported_s = old._open, old._counts, old._reported_s
        self.stats.evicted_keys = self._search_at = old.stats.evicted_keys
        while len(self._open) > self.limits.max_entries:
            self._evict()
        self.stats.entries = len(self._open)
        return Kept(Extent.COUNTS, f"{changed_limits(old.limits, self.limits)}; open connections kept")

    def count(self, source: Address) -> int:
        """Return how many connections of this source are open."""
        return self._counts.get(origin_key(source, self._prefix_bytes), 0)

    def busiest(self, limit: int) -> list[tuple[Network, int]]:
        """Return whose connections are open, and how many, most first."""
        most = heapq.nlargest(limit, self._counts.items(), key=lambda one: one[1])
        return [(self.counted(origin), count) for origin, count in most]

    def _take(self, batch: FlowBatch) -> list[Alert]:
        if batch.has_gap:
            self._forget(batch.time_s)
        ended = set(batch.ended_keys())
        for key in ended:
            if (origin := self._open.pop(key)) is not None:
                self._leave(origin)
        opened = [(key, flow) for flow in (*batch.completed, *batch.listed) if (key := flow_key(flow)) not in ended]
        alerts = [alert for key, flow in opened if (alert := self._opened(key, flow, batch.time_s))]
        self.stats.entries = len(self._open)
        if self.stats.turns != self._turns:  # a source that holds many is busy without opening more
            self._turns = self.stats.turns
            self._find_peak()
        return alerts

    def _opened(self, key: FlowKey, flow: Flow, now_s: float) -> Alert | None:
        limits = self.limits
        if key in self._open:
            return None
        if len(self._open) >= limits.max_entries:
            self._evict()
        origin = origin_key(flow.source, self._prefix_bytes)
        self._open.young[key] = origin
        count = self._counts[origin] = self._counts.get(origin, 0) + 1
        if count > self.stats.peak and not self.surrounding.shelters(origin):
            self.stats.peak = count
        if count < limits.maxretry or 0 <= now_s - self._reported_s.get(origin, float("-inf")) < limits.findtime_s:
            return None
        self._reported_s[origin] = now_s
        return origin_alert(
            self.name,
            limits,
            flow.source,
            now_s,
            count,
            "connections open at a time",
            handshakes=origin,
            last=show_packet(flow),
            ours=our_party(flow),
        )

    def _evict(self) -> None:
        """Forget the oldest connection, of a network with more than its share (`crowds`) if there is one."""
        if not self._surplus and self.stats.evicted_keys >= self._search_at:
            self._search_at = self.stats.evicted_keys + 1 + self.limits.max_entries // SHARE
            self._surplus.extend(self._find_surplus())
        while self._surplus and self._surplus[0] not in self._open:  # closed meanwhile
            self._surplus.popleft()
        key = self._surplus.popleft() if self._surplus else self._open.first()[0]
        origin = self._open.pop(key)
        assert origin is not None  # noqa: S101 - it is there, as was just seen
        self.stats.evicted_keys += 1
        self.stats.missed_keys += 2 * self._counts[origin] >= self.limits.maxretry
        self._leave(origin)

    def _find_surplus(self) -> list[FlowKey]:
        """Return the oldest connections that networks hold beyond their share; goes through all."""
        share = max(self.limits.max_entries // SHARE, self.limits.maxretry)
        surplus: Counter[bytes] = Counter()
        for origin, count in self._counts.items():
            surplus[networks_of_origin(origin)[0]] += count
        surplus.subtract(dict.fromkeys(surplus, share))
        found = []
        for key, origin in self._open.items():
            network = networks_of_origin(origin)[0]
            if surplus[network] > 0:
                surplus[network] -= 1
                found.append(key)
        return found

    def _find_peak(self) -> None:
        """Go through all origins, once a minute; protected ones among the busiest are passed over."""
        counts = self._counts
        busiest = heapq.nlargest(_MOST_PASSED_OVER, counts, counts.__getitem__)
        self.stats.peak = next((counts[one] for one in busiest if not self.surrounding.shelters(one)), 0)

    def _forget(self, now_s: float) -> None:
        self._open.clear()
        self._counts.clear()
        self._surplus.clear()
        findtime_s = self.limits.findtime_s
        self._reported_s = {origin: at_s for origin, at_s in self._reported_s.items() if 0 <= now_s - at_s < findtime_s}

    def _leave(self, origin: bytes) -> None:
        left = self._counts.pop(origin) - 1
        if left:
            self._counts[origin] = left
        else:
            self._reported_s.pop(origin, None)


DETECTOR = Registration(
    detector=OpenConnectionsDetector,
    settings=OpenConnectionsSettings,
    summary="One source holds too many connections at a time.",
    make=lambda section, context: OpenConnectionsDetector(section.limits(context.ipv6_prefix)),
    order=22,
)
