"""Evidence: decides which events may count against their source, before detectors see them, and what alerts are worth.

Ordinary life looks like an attack in four ways, each of which is sorted out here:

- attempts at services that exist, but are being restarted or overloaded (`monitor.model.services`);
- attempts of hosts behind this node to reach others: they are not about us, and go to `outbound_scan`;
- packets that a firewall logs although it accepts them (`log_correlation`);
- packets that carry the address of a client that works with us (`monitor.model.clients`): another host may have sent
  them, so such an alert is in doubt unless the source continues, and then has effect for a short time only.

Alerts about hosts in internal networks are in doubt as well (`bans.internal`), unless they are proven.

Pure; time is that of the events.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from monitor.daemon.pipeline.log_correlation import LogCorrelation
from monitor.metrics.metric import Sample
from monitor.model.addresses import Address, origin_key
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.clients import Clients
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow, FlowBatch, FlowIncomplete, OutboundIncomplete
from monitor.model.networks import Surrounding
from monitor.model.rates import RateWindow
from monitor.model.services import Services

CORROBORATING_ALERTS = 5
"""How many alerts within `CORROBORATION_S` it takes to shun a known client on evidence that anyone can forge."""
CORROBORATION_S = 600.0
INTERNAL_DOUBT = "internal network: bans.internal.mode is observe"
LONGEST_CLIENT_SHUN_S = 600.0
"""How long a known client is shunned at most on such evidence."""
_LONGEST_SCAN_S = 60.0
"""How long before the alert a source has to be a client at most; connections that a scan makes do not count."""
_MAX_CONTESTED = 16_384
_LONG_BEFORE_S = 600.0


class SortedFlows(NamedTuple):
    """A batch of flows, by whom it is about."""

    batch: FlowBatch
    """Flows to the node or through it to what lies behind."""
    probes: list[FlowIncomplete]
    """Its incomplete attempts that were not made to known services."""
    outbound: list[OutboundIncomplete]
    """Incomplete attempts of the node, or of hosts behind it, to reach others."""
    taken_back: list[PacketLogged]
    """Packets that counted before, and turned out to be accepted."""


class EvidenceSorter:
    """Sorts events; remembers services, clients and logged packets, all bounded."""

    def __init__(self, ipv6_prefix: int = 64) -> None:
        """Know of nothing; the addresses of an IPv6 prefix of this length are one source."""
        self.services = Services()
        self.clients = Clients(ipv6_prefix)
        self.logged = LogCorrelation()
        self.ipv6_prefix = ipv6_prefix
        self.internal_total = 0
        """Alerts about internal hosts that had no effect."""
        self.contested_total = 0
        """Alerts about known clients that had no effect."""
        self.sorted_out = {"known_service": 0, "outbound": 0}
        """Attempts that did not count, by reason."""
        self._surrounding = Surrounding()
        self.contested = RateWindow(
            findtime_s=CORROBORATION_S, maxretry=CORROBORATING_ALERTS, max_entries=_MAX_CONTESTED
        )
        """Counts alerts about known clients, by source and detector."""

    def follow(self, surrounding: Surrounding) -> None:
        """Follow who is where."""
        self._surrounding = surrounding

    def count_by(self, ipv6_prefix: int) -> None:
        """Count the addresses of IPv6 prefixes of this length as one source from now on."""
        self.ipv6_prefix = ipv6_prefix
        self.clients = Clients(ipv6_prefix)

    def sort(self, batch: FlowBatch) -> SortedFlows:
        """Sort a batch of flows, and learn services and clients from it."""
        taken_back = self.logged.note(batch)
        self.services.note(batch, self._surrounding.is_ours)
        inbound: list[FlowIncomplete] = []
        probes: list[FlowIncomplete] = []
        outbound: list[OutboundIncomplete] = []
        own = self._surrounding.own
        is_served = _Once(lambda one: self.services.serves(one, is_own=one.destination in own))
        for attempt in batch.incomplete:
            to = attempt.real_destination or attempt.destination
            if to not in own and self._is_outbound(attempt.source, to, is_masqueraded=attempt.is_masqueraded):
                outbound.append(_outbound(attempt))
                continue
            inbound.append(attempt)
            if not is_served(attempt):
                probes.append(attempt)
        self.sorted_out["outbound"] += len(outbound)
        self.sorted_out["known_service"] += len(inbound) - len(probes)
        completed, listed = self._inbound(batch.completed), self._inbound(batch.listed)
        self.clients.note((*completed, *listed), batch.time_s)
        if outbound or len(completed) != len(batch.completed) or len(listed) != len(batch.listed):
            batch = msgspec.structs.replace(batch, incomplete=inbound, completed=completed, listed=listed)
        return SortedFlows(batch, probes, outbound, taken_back)

    def admit(self, events: Sequence[PacketLogged], now_s: float) -> list[PacketLogged]:
        """Return the logged packets that count now; others may follow from `release`."""
        own = self._surrounding.own
        about_us = [
            event
            for event in events
            if event.destination in own or not self._is_outbound(event.source, event.destination)
        ]
        self.sorted_out["outbound"] += len(events) - len(about_us)
        probes = [event for event in about_us if not self._is_at_service(event)]
        self.sorted_out["known_service"] += len(about_us) - len(probes)
        return self.logged.admit(probes, now_s)

    def _is_at_service(self, event: PacketLogged) -> bool:
        """Whether a logged packet was sent to a known service: a limit or a maintenance rule refused it."""
        service = event.destination, event.protocol, event.destination_port or 0
        return self.services.has(service, event.time_s, is_own=event.destination in self._surrounding.own)

    def release(self, now_s: float) -> list[PacketLogged]:
        """Return the logged packets that count by now."""
        return self.logged.release(now_s)

    def weigh(self, alert: Alert, *, is_one_way: bool) -> Alert:
        """Put an alert in doubt if anyone can have caused it, and it is about an internal host or a working client."""
        if alert.strength is not Strength.SPOOFABLE:
            return alert
        if self._surrounding.spares_internal and alert.source in self._surrounding.internal:
            self.internal_total += 1
            return msgspec.structs.replace(alert, doubt=INTERNAL_DOUBT)
        if not is_one_way or not self.clients.knows(alert.source, _started_s(alert.evidence)):
            return alert
        origin = origin_key(alert.source, self.ipv6_prefix // 8)
        # by detector: two that count the same packets corroborate nothing
        if any(self.contested.add({origin + alert.detector.encode(): 1}, alert.time_s)):
            return msgspec.structs.replace(alert, longest_s=LONGEST_CLIENT_SHUN_S)
        self.contested_total += 1
        count = self.clients.handshakes(alert.source)
        doubt = f"anyone can have sent this in the name of a client with {count} recent connections"
        return msgspec.structs.replace(alert, doubt=doubt)

    def was_client(self, alert: Alert) -> bool:
        """Whether the source worked with this node for long before what the alert rests on.

        Who guesses passwords completes handshakes as well, but hardly for ten minutes before the first failure.
        """
        return self.clients.knows(alert.source, alert.evidence.first_s - _LONG_BEFORE_S)

    def samples(self) -> Iterator[Sample]:
        """Yield what was sorted out, and how much is remembered."""
        reasons = {
            **self.sorted_out,
            "accepted": self.logged.accepted_total,
            "unchecked": self.logged.lost_total,
            "internal": self.internal_total,
            "contested": self.contested_total,
        }
        for reason, count in reasons.items():
            yield "nodewarden_evidence_set_aside_total", (reason,), count
        yield "nodewarden_services_known", (), len(self.services)
        yield "nodewarden_clients_refused_total", (), self.clients.refused_total

    def notices(self, now_s: float) -> list[str]:
        """Say what operators should know of their firewall's log."""
        return [
            f"the log prefix {name!r} marks accepted packets: its lines count only where no connection was opened; add "
            "it to sources.kernel_log.ignore_prefixes if it never marks dropped ones"
            for name in self.logged.mixed(now_s)
        ]

    def _inbound(self, flows: list[Flow]) -> list[Flow]:
        is_outbound, own = self._is_outbound, self._surrounding.own
        return [
            flow
            for flow in flows
            if flow.real_destination in own
            or not is_outbound(flow.source, flow.real_destination, is_masqueraded=flow.is_masqueraded)
        ]

    def _is_outbound(self, source: Address, destination: Address, *, is_masqueraded: bool = False) -> bool:
        """Whether a packet goes from this side of the node to the other; only sources on this side are masqueraded."""
        is_ours = self._surrounding.is_ours
        return not is_ours(destination) and (is_masqueraded or is_ours(source))


def _started_s(evidence: Evidence) -> float:
    """Return when the packets of an alert began to come; infinity where nothing says so."""
    if evidence.first_s <= evidence.last_s - evidence.findtime_s:  # that of a counter
        return float("inf")
    return max(evidence.first_s, evidence.last_s - _LONGEST_SCAN_S)


class _Once:
    """Asks once for each service of a batch: floods try one many thousand times."""

    def __init__(self, ask: Callable[[FlowIncomplete], bool]) -> None:
        self._ask = ask
        self._answers: dict[tuple[Address, int, int | None, Address | None, int | None], bool] = {}

    def __call__(self, attempt: FlowIncomplete) -> bool:
        called = attempt.destination, attempt.protocol, attempt.destination_port
        key = (*called, attempt.real_destination, attempt.real_destination_port)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(attempt)
        return answer


def _outbound(attempt: FlowIncomplete) -> OutboundIncomplete:
    return OutboundIncomplete(*msgspec.structs.astuple(attempt))
