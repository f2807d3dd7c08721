"""The stages, wired: each batch goes from one to the next. `pipeline` is what they are told."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from monitor.bans.decision import Decision
from monitor.daemon.pipeline.arrangement import Arrangement
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.events import KINDS, Event, PacketLogged
from monitor.model.flows import Flow, FlowBatch, FlowIncomplete


class Stages(Arrangement):
    """Events in, bans in force out. Synchronous: a batch is through when `_process` returns."""

    counted_total = 0
    """How often anything came that may change what detectors count, the known clients, or log prefixes."""

    @property
    def events(self) -> int:
        """How many events came, of all kinds."""
        return self.events_by_kind.total()

    def _process(self, events: Sequence[Event], now_s: float) -> list[Decision]:
        """Take a batch of events of one type all the way; return what was decided."""
        if not events:
            return []
        kind = type(events[0])
        if kind is FlowBatch:
            return [decision for batch in events for decision in self._process_flows(cast("FlowBatch", batch), now_s)]
        self.events_by_kind[KINDS[kind]] += len(events)
        if kind is PacketLogged:
            self.pod_hits.note_packets(cast("Sequence[PacketLogged]", events))
            events = self.evidence.admit(cast("Sequence[PacketLogged]", events), now_s)
        return self._process_admitted(events, now_s)

    def _process_admitted(self, events: Sequence[Event], now_s: float) -> list[Decision]:
        """Take events that count all the way."""
        if events and type(events[0]).covers_all_traffic:
            shields = self.guard.shields
            events = [event for event in cast("Sequence[Any]", events) if not shields(event.source)]
        return self._detect(events, now_s)

    def _detect(self, events: Sequence[Event], now_s: float) -> list[Decision]:
        """Have detectors count events, carry out what follows, and have the shadows count then."""
        decisions = self._answer(self._feed(events), now_s)
        if self.shadows and events:
            spares_protected = events[0].covers_all_traffic
            self.shadows.feed(events, lambda alert: spares_protected and self._is_protected(alert))
        return decisions

    def _process_flows(self, batch: FlowBatch, now_s: float) -> list[Decision]:
        own = self.surrounding.own
        self.traffic.count(batch, own)
        self.pod_hits.note_flows(batch.opened)
        batch, probes, outbound, taken_back = self.evidence.sort(batch)
        # a host behind the node may answer packets that it was not sent
        late = [flow for flow in batch.late if flow.real_destination in own]
        self.proofs.note([flow for flow in batch.completed if flow.real_destination in own], late)
        if batch.has_gap:
            self.proofs.lose()
        if batch.invalid_total is not None:
            self.proofs.settle(batch.invalid_total, batch.listen_totals, batch.time_s)
        self._take_back(taken_back, now_s)
        decisions = self._detect([batch], now_s)
        self.events_by_kind[KINDS[FlowIncomplete]] += len(batch.incomplete)
        decisions += self._process_admitted(probes, now_s) + self._process(outbound, now_s)
        return decisions + self.release(now_s)

    def count_running(self, flows: Sequence[Flow], is_complete: bool) -> None:  # noqa: FBT001 - as sources call it
        """Count bytes of flows that run; no decision depends on it. `is_complete`: a listing of all ends with these."""
        self.traffic.count_running(flows, self.surrounding.own, is_complete=is_complete)

    def release(self, now_s: float) -> list[Decision]:
        """Take logged packets that waited for connection tracking all the way."""
        released = self.evidence.release(now_s)
        if not released:
            return []
        self.counted_total += 1
        return self._process_admitted(released, now_s)

    def _take_back(self, events: Sequence[PacketLogged], now_s: float) -> None:
        """Take back logged packets that were accepted, and end the bans that rest on them."""
        if events:
            for detector in self.counting:
                if PacketLogged in detector.takes:
                    self._acquit(detector.name, detector.take_back(events), now_s)
            self.shadows.take_back(events)

    def _acquit(self, detector: str, networks: Iterable[Network], now_s: float) -> None:
        """End the bans of a detector whose evidence proved to be none."""
        for network in networks:
            self.refused.forget(detector, network)
            self.bans.withdraw(network, detector, now_s)

    def _feed(self, events: Sequence[Event]) -> Iterator[Alert | FloodAlert]:
        """Yield the alerts of a batch; where it covers all traffic, without those about protected addresses."""
        spares_protected = bool(events) and events[0].covers_all_traffic
        for alert in self._dispatch.feed(events):
            if not (spares_protected and isinstance(alert, Alert) and self._is_protected(alert)):
                yield alert

    def _is_protected(self, one: Any) -> bool:
        return self.guard.shields(one.source)

    def _answer(self, alerts: Iterable[Alert | FloodAlert], now_s: float) -> list[Decision]:
        """Decide on alerts, and carry out what was decided."""
        answered = [alert if isinstance(alert, FloodAlert) else self._weighed(alert) for alert in alerts]
        if not answered:
            return []
        self.shadows.found(answered)
        self.floods.note(answered)
        return self._propose([alert for alert in answered if isinstance(alert, Alert)], answered, now_s)

    def _propose(self, alerts: Iterable[Alert], new: Sequence[Alert | FloodAlert], now_s: float) -> list[Decision]:
        """Decide on alerts; listeners receive those that are new."""
        draft = self.policy.draft(now_s)
        for alert in alerts:
            self.policy.propose(draft, alert)
        decisions = self.bans.carry_out(draft, new)
        self.refused.note(decisions, now_s)
        return decisions

    def _retry(self, now_s: float) -> None:
        """Propose again what the kernel refused."""
        if due := self.refused.due(now_s, self.policy.rules.detectors):
            self._propose([self._weighed(alert) for alert in due], (), now_s)

    def _weighed(self, alert: Alert) -> Alert:
        """Return the alert with the strength that the source's handshakes give it, and with what puts it in doubt."""
        if not self._sysctls.is_tcp_liberal:
            alert = msgspec.structs.replace(alert, strength=self.proofs.strength(alert))
        return self.evidence.weigh(alert, is_one_way=alert.detector in self._one_way)
