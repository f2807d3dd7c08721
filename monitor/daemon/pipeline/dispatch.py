"""Hands each batch of events to the detectors it concerns."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.failures import FailuresDetector
from monitor.detectors.flow_limits import FlowDetector
from monitor.detectors.packet_rate import DropRate, PacketRate, SynRate, UdpRate
from monitor.detectors.probes import Probe
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.events import AuthFailure, DropsObserved, Event, PacketLogged, SenderObserved
from monitor.model.flows import FlowBatch, FlowIncomplete

Detector: TypeAlias = DistinctDetector | FailuresDetector | FlowDetector | PacketRate[Any]

KINDS: dict[type[Event], str] = {
    PacketLogged: "packet_logged",
    AuthFailure: "auth_failure",
    FlowIncomplete: "flow_incomplete",
    DropsObserved: "drops_observed",
    SenderObserved: "sender_observed",
}
"""What metrics call the types of events; batches of flows are counted by flow (daemon.traffic)."""


class Dispatch:
    """Knows which detector takes what: a batch costs those it concerns, however many others there are."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        """Take all detectors; names are unique."""
        self._of_probes = [one for one in detectors if isinstance(one, DistinctDetector)]
        self._of_flows = [one for one in detectors if isinstance(one, FlowDetector)]
        self._of_packets: dict[type[Event], list[PacketRate[Any]]] = {
            DropsObserved: [one for one in detectors if isinstance(one, DropRate)],
            SenderObserved: [one for one in detectors if isinstance(one, SynRate | UdpRate)],
        }
        self._of_failures = {one.name: one for one in detectors if isinstance(one, FailuresDetector)}

    def feed(self, events: Sequence[Event]) -> Iterator[Alert]:
        """Yield the alerts of a batch, whose events are all of one type; those for a detector that is gone are lost."""
        if not events:
            return
        if type(events[0]) is AuthFailure:
            yield from self._feed_failures(cast("Sequence[AuthFailure]", events))
            return
        if (counting := self._of_packets.get(type(events[0]))) is not None:
            for packet_rate in counting:
                yield from packet_rate.feed(events)
            return
        for detector in self._of_probes:
            yield from detector.feed(cast("Sequence[Probe]", events))

    def feed_flows(self, batch: FlowBatch) -> Iterator[Alert | FloodAlert]:
        """Yield what a batch of flows raised; its attempts that came to nothing are `feed`'s."""
        for detector in self._of_flows:
            yield from detector.feed(batch)

    def _feed_failures(self, events: Sequence[AuthFailure]) -> Iterator[Alert]:
        by_detector: dict[str, list[AuthFailure]] = {}
        for event in events:
            by_detector.setdefault(event.detector, []).append(event)
        for name, batch in by_detector.items():
            if detector := self._of_failures.get(name):
                yield from detector.feed(batch)
