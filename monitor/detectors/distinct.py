"""A detector that counts distinct things by key: what port scans and host sweeps have in common."""

from collections.abc import Callable, Sequence

import msgspec

from monitor.detectors.probes import SERVICE_KEY_BYTES, is_probe
from monitor.model.addresses import Address, host, network_of
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.events import PacketLogged
from monitor.model.window import Crossing, DistinctWindow, WindowStats

_SAMPLE_SIZE = 20


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

    key: Callable[[bytes, PacketLogged], bytes]
    """Takes the scored source (an address, or the leading bytes of an IPv6 prefix) and the packet."""
    item: Callable[[PacketLogged], bytes]
    what: Callable[[PacketLogged], str]
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
        self._window = DistinctWindow(
            findtime_s=thresholds.findtime_s, maxretry=thresholds.maxretry, max_entries=thresholds.max_entries
        )

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self._window.stats

    def feed(self, events: Sequence[PacketLogged]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised."""
        alerts = []
        thresholds = self.thresholds
        for event in events:
            if not is_probe(event, thresholds.ephemeral_ports):
                continue
            source = event.source
            crossing = self._add(source, event)
            is_alone = crossing is not None
            if not is_alone and len(source) == 16 and thresholds.ipv6_prefix < 128:
                crossing = self._add_to_prefix(source, event)
            if crossing:
                alerts.append(self._alert(event, crossing, is_alone=is_alone))
        return alerts

    def count(self, source: Address) -> int:
        """Return how many distinct items of this source are remembered, of its busiest key."""
        return self._window.most(source, (0, SERVICE_KEY_BYTES))

    def _add(self, scored: bytes, event: PacketLogged) -> Crossing | None:
        counted = self._counted
        return self._window.add(counted.key(scored, event), counted.item(event), event.time_s)

    def _add_to_prefix(self, source: Address, event: PacketLogged) -> Crossing | None:
        """Count for the source's prefix too, but of each address only a third of the threshold at most.

        A host that takes ever new addresses is caught by their sum. A single scanner, who is on the way to be caught by
        itself, does not push its neighbours over the threshold.
        """
        if self._window.count(self._counted.key(source, event)) > max(1, self.thresholds.maxretry // 3):
            return None
        return self._add(source[: self.thresholds.ipv6_prefix // 8], event)

    def _alert(self, event: PacketLogged, crossing: Crossing, *, is_alone: bool) -> Alert:
        thresholds = self.thresholds
        source = event.source
        network = host(source) if len(source) == 4 else network_of(source, thresholds.ipv6_prefix)
        evidence = Evidence(
            count=len(crossing.items),
            maxretry=thresholds.maxretry,
            findtime_s=thresholds.findtime_s,
            first_s=crossing.first_s,
            last_s=crossing.last_s,
            what=self._counted.what(event),
            sample=tuple(map(self._counted.show, crossing.items[:_SAMPLE_SIZE])),
        )
        # A logged packet can be forged by anyone: only new connections of its source may be refused for it.
        return Alert(self.name, event.time_s, source, network, is_alone, Strength.SPOOFABLE, evidence)
