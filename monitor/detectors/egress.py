"""Egress: the node, or a pod behind it, opens a flow to a destination that nobody approved."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from monitor.detectors.flow_limits import FlowDetector, FlowLimits
from monitor.detectors.probes import service_key, show_service
from monitor.model.addresses import Address, Network, format_address, host
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.flows import Flow, FlowBatch
from monitor.model.networks import Networks
from monitor.model.protocols import ECHO_REQUESTS, PROTOCOL_TCP, PROTOCOL_UDP, TCP_SYN_SENT, WELL_KNOWN_PORTS

_MOST_ALERTS_A_SECOND = 50


class Egress(FlowDetector):
    """Fires for the destination, once within `findtime_s`, and for at most fifty destinations a second.

    What counts is who really answers, behind destination NAT. All that is on the allowlist is approved: the node's
    resolvers and gateways, the cluster, administrators. At most `max_entries` destinations are remembered.
    """

    name = "egress"

    def __init__(self, limits: FlowLimits, approved: Sequence[Network], sources: Sequence[Network]) -> None:
        """Take what is approved, and whose flows count beside those of the node and the cluster's pods."""
        super().__init__(limits)
        self.flows = {True: 0, False: 0}
        """How many flows out there were, by whether they were approved."""
        self._approved, self._sources = Networks(approved), Networks(sources)
        self._told: OrderedDict[Address, tuple[float, int]] = OrderedDict()
        self._second, self._alerts = 0, 0

    def feed(self, batch: FlowBatch) -> Iterable[Alert]:
        """Return the alerts that a batch raised."""
        own, pods, sources = self.surrounding.own, self.surrounding.pods, self._sources
        alerts = []
        for flow in batch.opened:
            source = flow.source
            if (source in own or source in sources or source in pods) and _begins(flow):
                is_approved = self._is_approved(flow.real_destination)
                self.flows[is_approved] += 1
                if not is_approved:
                    self.own_stats.peak = 1
                    if alert := self._violation(flow):
                        alerts.append(alert)
        self.own_stats.entries = len(self._told)
        return alerts

    def count(self, source: Address) -> int:
        """Return how many flows to this destination were not approved lately."""
        return self._told.get(source, (0.0, 0))[1]

    def _is_approved(self, destination: Address) -> bool:
        return destination in self._approved or destination in self.surrounding.protected

    def _violation(self, flow: Flow) -> Alert | None:
        limits, now_s, destination = self.thresholds, flow.time_s, flow.real_destination
        told_s, count = self._told.pop(destination, (float("-inf"), 0))
        is_new = not 0 <= now_s - told_s < limits.findtime_s
        if is_new:
            if int(now_s) != self._second:
                self._second, self._alerts = int(now_s), 0
            self._alerts += 1
            if self._alerts > _MOST_ALERTS_A_SECOND:
                self.own_stats.evicted_keys += 1
                return None
        self._told[destination] = (now_s, 1) if is_new else (told_s, count + 1)
        if len(self._told) > limits.max_entries:
            self._told.popitem(last=False)
            self.own_stats.evicted_keys += 1
        if not is_new:
            return None
        sample = (f"{format_address(flow.source)} to {show_service(service_key(flow))}",)
        what = "flow out to a destination that is not approved"
        evidence = Evidence(1, 1, limits.findtime_s, now_s, now_s, what, sample)
        return Alert(
            self.name,
            now_s,
            destination,
            host(destination),
            is_alone=True,
            strength=Strength.DESTINATION,
            evidence=evidence,
        )


def _begins(flow: Flow) -> bool:
    """Whether it opens a conversation, rather than going on with one that connection tracking had forgotten."""
    if flow.protocol == PROTOCOL_TCP:
        return flow.state == TCP_SYN_SENT
    if flow.protocol == PROTOCOL_UDP:
        return not (flow.source_port in WELL_KNOWN_PORTS and flow.destination_port not in WELL_KNOWN_PORTS)
    if flow.protocol in ECHO_REQUESTS:
        return flow.icmp_type == ECHO_REQUESTS[flow.protocol]
    return True
