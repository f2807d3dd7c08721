"""A detector that counts distinct things by key: what port scans and host sweeps have in common."""

from collections.abc import Callable, Sequence

import msgspec

from monitor.detectors.agreement import Agreement
from monitor.detectors.probes import SERVICE_KEY_BYTES, WITNESSES, Probe, is_probe
from monitor.detectors.scoring import SAMPLE_SIZE, Scores
from monitor.model.addresses import Address
from monitor.model.alerts import Alert, Strength
from monitor.model.window import Crossing, WindowStats


class Thresholds(msgspec.Struct, frozen=True):
    """When to fire: `maxretry` distinct items within `findtime_s`; at most `max_entries` pairs are remembered."""

    findtime_s: float
    maxretry: int
    max_entries: int
    ephemeral_ports: range
    """Ports of the node's own clients: UDP to these is taken for a late reply."""
    ipv6_prefix: int = 64
    """IPv6 sources are scored by prefixes of this length too (a multiple of 8): a host can use all of its /64."""


class Counted(msgspec.Struct, frozen=True):
    """What a detector counts, as functions: distinct `item`s for each `key`."""

    key: Callable[[bytes, Probe], bytes]
    """Takes the scored source (an address, or the leading bytes of an IPv6 prefix) and the probe."""
    item: Callable[[Probe], bytes]
    what: Callable[[Probe], str]
    """Names what is counted, for people: `distinct ports`."""
    show: Callable[[bytes], str]
    """Writes one item, for people."""


class DistinctDetector:
    """Fires when one key reaches the threshold of distinct items; forgets the key then, so it can fire again."""

    def __init__(self, name: str, counted: Counted, thresholds: Thresholds) -> None:
        """Take what to count and when to fire."""
        self.name = name
        self.thresholds = thresholds
        self._counted = counted
        self._agreement = Agreement(thresholds.findtime_s)
        self._scores = Scores(
            findtime_s=thresholds.findtime_s,
            maxretry=thresholds.maxretry,
            max_entries=thresholds.max_entries,
            ipv6_prefix=thresholds.ipv6_prefix,
        )

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self._scores.stats

    @property
    def agreements_total(self) -> int:
        """How many alerts a second source of events confirmed."""
        return self._agreement.total

    def witnesses(self, source: Address) -> dict[str, int]:
        """Return by source of events how much it saw of what raised the last alert about this address."""
        lengths = (0, SERVICE_KEY_BYTES)
        found = self._agreement.witnesses(source, lengths)
        if not found and len(source) == 16 and self._scores.has_prefixes:
            found = self._agreement.witnesses(source[: self.thresholds.ipv6_prefix // 8], lengths)
        return found

    def feed(self, events: Sequence[Probe]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised."""
        alerts = []
        ports = self.thresholds.ephemeral_ports
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
        """Count a probe; return what crossed the threshold, and whether the source did by itself."""
        counted, scores, source = self._counted, self._scores, event.source
        key, item, witness = counted.key(source, event), counted.item(event), WITNESSES[type(event)]
        if self._agreement.confirms(key, item, witness, event.time_s):
            return None, True
        crossing = scores.window.add(key, item, event.time_s)
        is_alone = crossing is not None or len(source) == 4 or not scores.has_prefixes
        if not is_alone:
            key = counted.key(source[: self.thresholds.ipv6_prefix // 8], event)
            if self._agreement.confirms(key, item, witness, event.time_s):
                return None, False
            crossing = scores.add_to_prefix(counted.key(source, event), key, item, event.time_s)
        if crossing is not None:
            self._agreement.alerted(key, crossing.items, witness, event.time_s)
        return crossing, is_alone

    def _alert(self, event: Probe, crossing: Crossing, *, is_alone: bool) -> Alert:
        source = event.source
        sample = tuple(map(self._counted.show, crossing.items[:SAMPLE_SIZE]))
        evidence = self._scores.evidence(crossing, self._counted.what(event), sample)
        # A first packet can be forged by anyone: only new connections of its source may be refused for it.
        network = self._scores.network(source)
        return Alert(self.name, event.time_s, source, network, is_alone, Strength.SPOOFABLE, evidence)
