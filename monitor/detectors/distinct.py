"""Distinct counts: the shared part of port scans, host sweeps and their like.

A subclass says what is counted: distinct `item`s for each `key`, both as bytes. The key starts with the source, as an
address or as the leading bytes of an IPv6 prefix, alone or followed by a service key; so one window serves both.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from monitor.detectors.agreement import Agreement
from monitor.detectors.detector import Detector
from monitor.detectors.limits import Limits
from monitor.detectors.probes import SERVICE_KEY_BYTES, WITNESSES, Probe, is_probe
from monitor.detectors.scoring import SAMPLE_SIZE, Scores
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.addresses import Address
from monitor.model.alerts import Alert, Strength
from monitor.model.events import PacketLogged
from monitor.model.flows import FlowIncomplete
from monitor.model.window import Crossing

AGREEMENTS = Metric(
    "nodewarden_detector_agreements_total",
    COUNTER,
    "Alerts whose offence a second source reported as well.",
    ("detector",),
)


class DistinctDetector(Detector[Probe]):
    """Fires when one key reaches the threshold of distinct items; forgets the key then, so it can fire again."""

    takes = (PacketLogged, FlowIncomplete)
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

    def witnesses(self, source: Address) -> dict[str, int]:
        """Return by source of events how many items of the last alert about this address it reported."""
        lengths = (0, SERVICE_KEY_BYTES)
        found = self._agreement.witnesses(source, lengths)
        if not found and len(source) == 16 and self._scores.has_prefixes:
            found = self._agreement.witnesses(source[: self._prefix_bytes], lengths)
        return found

    def samples(self) -> Iterator[Sample]:
        """Yield how often sources agreed."""
        yield AGREEMENTS.name, (self.name,), self.agreements_total

    def feed(self, events: Sequence[Probe]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised."""
        alerts = []
        ports = self.surrounding.client_ports
        for event in events:
            if not is_probe(event, ports):
                continue
            crossing, is_alone = self._count(event)
            if crossing:
                alerts.append(self._alert(event, crossing, is_alone=is_alone))
        return alerts

    def count(self, source: Address) -> int:
        """Return how many distinct items of this source are remembered, of its busiest key."""
        return self._scores.window.most(source, (0, SERVICE_KEY_BYTES))

    def _count(self, event: Probe) -> tuple[Crossing | None, bool]:
        """Count a probe; return what crossed the threshold, and whether the source did alone."""
        scores, source = self._scores, event.source
        key, item, witness = self.key(source, event), self.item(event), WITNESSES[type(event)]
        if self._agreement.confirms(key, item, witness, event.time_s):
            return None, True
        crossing = scores.window.add(key, item, event.time_s)
        is_alone = crossing is not None or len(source) == 4 or not scores.has_prefixes
        if not is_alone:
            own_key, key = key, self.key(source[: self._prefix_bytes], event)
            if self._agreement.confirms(key, item, witness, event.time_s):
                return None, False
            crossing = scores.add_to_prefix(own_key, key, item, event.time_s)
        if crossing is not None:
            self._agreement.alerted(key, crossing.items, witness, event.time_s)
        return crossing, is_alone

    def _alert(self, event: Probe, crossing: Crossing, *, is_alone: bool) -> Alert:
        source = event.source
        sample = tuple(map(self.show, crossing.items[:SAMPLE_SIZE]))
        evidence = self._scores.evidence(crossing, self.what(event), sample)
        # Anyone can forge a first packet: only new connections of its source may be refused for it.
        network = self._scores.network(source)
        return Alert(self.name, event.time_s, source, network, is_alone, Strength.SPOOFABLE, evidence)
