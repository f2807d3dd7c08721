"""Distinct counts: the shared part of port scans, host sweeps and their like.

A subclass says what is counted: distinct `item`s for each `key`, both as bytes. The key starts with the source, as an
address or as the leading bytes of an IPv6 prefix, alone or followed by a service key; so one window serves both.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from monitor.detectors.agreement import Agreement
from monitor.detectors.detector import Detector
from monitor.detectors.kept import Extent, Kept
from monitor.detectors.limits import Limits
from monitor.detectors.probes import SERVICE_KEY_BYTES, WITNESSES, Probe, is_probe, our_party, show_packet
from monitor.detectors.scoring import SAMPLE_SIZE, Scores
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.addresses import Address, Network, host
from monitor.model.alerts import Alert, Strength
from monitor.model.events import Event, PacketLogged
from monitor.model.flows import FlowIncomplete
from monitor.model.saved_rows import CountingWindow
from monitor.model.services import Service
from monitor.model.window_stats import Crossing

AGREEMENTS = Metric(
    "nodewarden_detector_agreements_total",
    COUNTER,
    "Alerts whose offence a second source reported as well.",
    ("detector",),
)

_LEAST_BYTES = 8
_IPV6_BYTES = 16


class DistinctDetector(Detector[Probe]):
    """Fires when one key reaches the threshold of distinct items; forgets the key then, so it can fire again."""

    takes: ClassVar[tuple[type[Event], ...]] = (PacketLogged, FlowIncomplete)
    is_one_way = True
    dates_items = True
    metrics = (AGREEMENTS,)

    def __init__(self, limits: Limits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self._agreement = Agreement(limits.findtime_s)
        self._scores = Scores(limits)
        self._prefix_bytes = limits.ipv6_prefix // 8
        self.stats = self._scores.stats

    @abstractmethod
    def key(self, source: bytes, probe: Probe) -> bytes:
        """Return what the items are counted for: `source`, which may be a prefix, alone or with the service's key."""

    @abstractmethod
    def item(self, probe: Probe) -> bytes:
        """Return what must be distinct to count."""

    @abstractmethod
    def what(self, probe: Probe) -> str:
        """Name what is counted, for people: `distinct ports`."""

    @abstractmethod
    def show(self, item: bytes) -> str:
        """Write an item, for people."""

    @property
    def agreements_total(self) -> int:
        """How many alerts a second source of events confirmed."""
        return self._agreement.total

    def windows(self) -> Sequence[CountingWindow]:
        """Return the window."""
        return (self._scores.window,)

    def take_over(self, old: Detector[Any], now_s: float) -> Kept:
        """Continue with the counts, and with what recent alerts rest on: that may yet turn out to be no evidence."""
        kept = super().take_over(old, now_s)
        if kept.extent is not Extent.NOTHING and isinstance(old, DistinctDetector):
            self._agreement = old._agreement.lasting(self.limits.findtime_s)
        return kept

    def origin(self, key: bytes) -> bytes:
        """Return the source or prefix that a key starts with."""
        return key

    def place(self, key: bytes, item: bytes) -> bytes:  # noqa: ARG002 - see subclasses
        """Return the service that an item is an attempt at: its service key, behind its address if there is one."""
        return b""

    def is_served(self, item: bytes) -> bool:  # noqa: ARG002 - see subclasses
        """Whether an item turned out to be a service since it was counted."""
        return False

    def review(self, services: Sequence[Service]) -> Iterator[Network]:
        """Strike services that became known from the evidence of recent alerts; yield whom that no longer convicts."""
        known: set[bytes] = set()
        for address, protocol, port in services:
            key = (protocol << 16 | port).to_bytes(SERVICE_KEY_BYTES)
            known.update((key, address + key))
        left = self._agreement.reviewed(lambda key, item: self.place(key, item) in known)
        for key, count in left:
            if self._is_too_little(count):
                yield from self._acquitted(key)

    def take_back(self, events: Sequence[Probe]) -> Iterator[Network]:
        """Take back probes that were none; yield whom the rest no longer convicts."""
        for event in events:
            for source in dict.fromkeys((event.source, self._origin_of(event.source))):
                key, item = self.key(source, event), self.item(event)
                left = self._agreement.take_back(key, item)
                if left is None:
                    self._scores.window.discard(key, item)
                elif self._is_too_little(left):
                    yield from self._acquitted(key)

    def _origin_of(self, source: Address) -> bytes:
        """Return the source itself, or the start of its IPv6 prefix: at least the 8 bytes of a /64 (`crowds`)."""
        return source if len(source) == 4 else source[: self._prefix_bytes].ljust(_LEAST_BYTES, b"\0")

    def counted(self, key: bytes) -> Network:
        """Return whom a key stands for."""
        return super().counted(self.origin(key))

    def _network(self, key: bytes) -> Network:
        origin = self.origin(key)
        return self._scores.network(origin if len(origin) == 4 else origin.ljust(16, b"\0"))

    def _acquitted(self, key: bytes) -> Iterator[Network]:
        """Yield what may be banned for a key: the prefix, or the source alone where its prefix was spared."""
        yield self._network(key)
        if len(origin := self.origin(key)) == _IPV6_BYTES:
            yield host(origin)

    def _is_too_little(self, count: int) -> bool:
        """Whether an alert no longer holds: one item fewer does not acquit a scanner, half of them do."""
        return 2 * count < self.limits.maxretry

    def witnesses(self, source: Address) -> dict[str, int]:
        """Return by source of events how many items of the last alert about this address it reported."""
        lengths = (0, SERVICE_KEY_BYTES)
        found = self._agreement.witnesses(source, lengths)
        if not found and len(source) == 16 and self._scores.has_prefixes:
            found = self._agreement.witnesses(self._origin_of(source), lengths)
        return found

    def samples(self) -> Iterator[Sample]:
        """Yield how often sources agreed."""
        yield AGREEMENTS.name, (self.name,), self.agreements_total

    def feed(self, events: Sequence[Probe]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised."""
        alerts = []
        ports, known = self.surrounding.client_ports, self._agreement.keys
        key_of, item_of, add = self.key, self.item, self._scores.window.add
        for event in events:
            if not is_probe(event, ports):
                continue
            source = event.source
            key, item, is_alone = key_of(source, event), item_of(event), True
            if len(source) == 4 and key not in known:  # nearly all
                crossing = add(key, item, event.time_s)
            else:
                key, crossing, is_alone = self._count(event, key, item)
            if crossing is not None and (left := self._without_services(key, crossing)):
                self._agreement.alerted(key, left.items, WITNESSES[type(event)], event.time_s)
                alerts.append(self._alert(event, left, is_alone=is_alone))
        return alerts

    def count(self, source: Address) -> int:
        """Return how many distinct items of this source are remembered, of its busiest key."""
        return self._scores.window.most(source, (0, SERVICE_KEY_BYTES))

    def _count(self, event: Probe, key: bytes, item: bytes) -> tuple[bytes, Crossing | None, bool]:
        """Count a probe by its source and by its prefix, unless it confirms an alert.

        Return which key crossed the threshold, what did, and whether the source did alone.
        """
        scores, source, witness = self._scores, event.source, WITNESSES[type(event)]
        if self._agreement.confirms(key, item, witness, event.time_s):
            return key, None, True
        crossing = scores.window.add(key, item, event.time_s)
        is_alone = crossing is not None or len(source) == 4 or not scores.has_prefixes
        if not is_alone:
            own_key, key = key, self.key(self._origin_of(source), event)
            if self._agreement.confirms(key, item, witness, event.time_s):
                return key, None, False
            crossing = scores.add_to_prefix(own_key, key, item, event.time_s)
        return key, crossing, is_alone

    def _without_services(self, key: bytes, crossing: Crossing) -> Crossing | None:
        """Return a crossing unless too many of its items turned out to be services: the others then stay counted."""
        items = tuple(item for item in crossing.items if not self.is_served(item))
        if len(items) == len(crossing.items):
            return crossing
        for item in items:
            self._scores.window.add(key, item, crossing.last_s)
        return None

    def _alert(self, event: Probe, crossing: Crossing, *, is_alone: bool) -> Alert:
        source = event.source
        sample = tuple(map(self.show, crossing.items[:SAMPLE_SIZE]))
        evidence = self._scores.evidence(crossing, self.what(event), sample, show_packet(event))
        # Anyone can forge a first packet: only new connections of its source may be refused for it.
        network = self._scores.network(source)
        return Alert(
            self.name,
            event.time_s,
            source,
            network,
            is_alone,
            Strength.SPOOFABLE,
            evidence,
            ours=our_party(event),
        )
