"""Egress: the node, or a pod behind it, opens a flow to a destination that is not approved."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta, field

from monitor.config.shapes import MERGED, Conflict
from monitor.detectors.detector import Detector
from monitor.detectors.kept import Extent, Kept
from monitor.detectors.limits import Limits
from monitor.detectors.probes import service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.settings import ENTRIES, RECENT, DetectorSettings
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.addresses import Address, Network, format_address, host, network_of
from monitor.model.alerts import Alert, Evidence, Party, Strength
from monitor.model.bans import Mode
from monitor.model.flows import Flow, FlowBatch
from monitor.model.networks import Networks
from monitor.model.protocols import ECHO_REQUESTS, PROTOCOL_TCP, PROTOCOL_UDP, TCP_SYN_SENT, WELL_KNOWN_PORTS

FLOWS = Metric(
    "nodewarden_egress_flows_total",
    COUNTER,
    "Flows out of the node and its pods, by whether their destination is approved.",
    ("approved",),
)

UNCOVERED = Metric(
    "nodewarden_egress_uncovered_flows_total",
    COUNTER,
    "Forwarded flows to destinations that are not approved, of sources that nothing has watched: neither the cluster's "
    "files nor detectors.egress.sources name their network.",
)

_GROUP_BYTES = {4: 0xE0, 16: 0xFF}
_MOST_ALERTS_A_SECOND = 50
_MAX_UNCOVERED, _SHOWN_UNCOVERED = 64, 3
_UNCOVERED_SHOWN_S = 3600.0
_UNCOVERED_PREFIX = {4: 24, 16: 64}


class EgressSettings(DetectorSettings, frozen=True, kw_only=True):
    """Flows out to destinations that are not approved."""

    mode: Annotated[
        Mode,
        Meta(description="`enforce` refuses new connections to the destination; `observe` only records them."),
    ] = Mode.OBSERVE
    findtime_s: Annotated[
        float, RECENT, Meta(description="Minimum interval between alerts for the same destination.")
    ] = field(default=600.0, name="findtime")
    approved: Annotated[
        tuple[Network, ...],
        MERGED,
        Meta(
            description="Destinations to which the node and its pods may open connections, in addition to the "
            "allowlist. Empty: any destination, the detector is off."
        ),
    ] = ()
    sources: Annotated[
        tuple[Network, ...],
        MERGED,
        Meta(
            description="Networks that this node routes for and whose flows are watched, in addition to those of the "
            "node and of the cluster's pod networks."
        ),
    ] = ()
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of destinations remembered: the bound on memory.")
    ] = 8192

    def conflicts(self) -> Iterable[Conflict]:
        """Return a fault where ports are named: what is banned are calls to other hosts, not to ports of ours."""
        yield from super().conflicts()
        if self.ban_ports:
            yield Conflict(("ports",), "never used: its bans are about destinations, whatever their port")

    def limits(self, ipv6_prefix: int) -> Limits:
        """Return when to fire: at the first flow."""
        return Limits(self.findtime_s, 1, self.max_entries, ipv6_prefix)


class EgressDetector(Detector[FlowBatch]):
    """Fires for the destination, once within `findtime_s`, and for at most fifty destinations a second.

    The destination is the address that really answers, after destination NAT. The allowlist is approved: the node's
    resolvers and gateways, the cluster, administrators. At most `max_entries` destinations are remembered.
    """

    name = "egress"
    takes = (FlowBatch,)
    judges = "real_destination"
    strengths = (Strength.DESTINATION,)
    metrics = (FLOWS, UNCOVERED)

    def __init__(self, limits: Limits, approved: Sequence[Network], sources: Sequence[Network]) -> None:
        """Take what is approved, and whose flows count in addition to those of the node and the cluster's pods."""
        super().__init__(limits)
        self.flows = {True: 0, False: 0}
        """How many flows went out, by whether they were approved."""
        self._approved, self._sources = Networks(approved), Networks(sources)
        self.uncovered = 0
        """How many forwarded flows went where nobody approved, from networks that are not watched."""
        self._unwatched: OrderedDict[Network, float] = OrderedDict()
        """When the last of these flows opened, by network of the source: /24 or /64."""
        self._reported: OrderedDict[Address, tuple[float, int]] = OrderedDict()
        self._second, self._alerts = 0, 0

    def feed(self, events: Sequence[FlowBatch]) -> list[Alert]:
        """Return the alerts that batches raised."""
        own, pods, sources = self.surrounding.own, self.surrounding.pods, self._sources
        is_ours = self.surrounding.is_ours
        alerts = []
        for batch in events:
            for flow in batch.opened:
                source = flow.source
                if (source in own or source in sources or source in pods) and _opens(flow):
                    is_approved = self._is_approved(flow.real_destination)
                    self.flows[is_approved] += 1
                    if not is_approved:
                        self.stats.peak = 1
                        if alert := self._violation(flow):
                            alerts.append(alert)
                elif not is_ours(flow.real_destination) and self._is_unwatched(flow):
                    self._note_unwatched(flow)
        self.stats.entries = len(self._reported)
        return alerts

    def take_over(self, old: Detector[Any], now_s: float) -> Kept:
        """Continue with what was reported: the same destination is not reported again before its time."""
        del now_s
        if isinstance(old, EgressDetector):
            self.flows, self._reported = old.flows, old._reported
            self.uncovered = old.uncovered  # networks are noted anew: the settings may watch them now
            while len(self._reported) > self.limits.max_entries:
                self._reported.popitem(last=False)
                self.stats.evicted_keys += 1
            self.stats.entries = len(self._reported)
        return Kept(Extent.COUNTS, "settings changed; what was reported is remembered")

    def count(self, source: Address) -> int:
        """Return how many recent flows to this destination were not approved."""
        return self._reported.get(source, (0.0, 0))[1]

    def busiest(self, limit: int) -> list[tuple[Network, int]]:
        """Return the destinations with the most recent flows that were not approved."""
        counts = ((host(destination), count) for destination, (_, count) in self._reported.items())
        return heapq.nlargest(limit, counts, key=lambda one: one[1])

    def samples(self) -> Iterator[Sample]:
        """Yield the flows out."""
        for is_approved, count in self.flows.items():
            yield FLOWS.name, ("yes" if is_approved else "no",), count
        yield UNCOVERED.name, (), self.uncovered

    def notices(self, now_s: float) -> Iterator[str]:
        """Yield that flows out are not watched, and of which networks."""
        lately = [one for one, seen_s in reversed(self._unwatched.items()) if now_s - seen_s < _UNCOVERED_SHOWN_S]
        if lately:
            more = f" and {len(lately) - _SHOWN_UNCOVERED} more" if len(lately) > _SHOWN_UNCOVERED else ""
            names = ", ".join(map(str, lately[:_SHOWN_UNCOVERED])) + more
            yield f"egress does not watch flows that this node forwards for {names}: add to detectors.egress.sources"

    def _is_unwatched(self, flow: Flow) -> bool:
        """Whether a flow that is none of ours leaves for where nobody approved; what is sent to many does not leave."""
        to = flow.real_destination
        return to[0] < _GROUP_BYTES[len(to)] and _opens(flow) and not self._is_approved(to)

    def _note_unwatched(self, flow: Flow) -> None:
        self.uncovered += 1
        network = network_of(flow.source, _UNCOVERED_PREFIX[len(flow.source)])
        self._unwatched[network] = flow.time_s
        self._unwatched.move_to_end(network)
        if len(self._unwatched) > _MAX_UNCOVERED:
            self._unwatched.popitem(last=False)

    def _is_approved(self, destination: Address) -> bool:
        return destination in self._approved or destination in self.surrounding.protected

    def _violation(self, flow: Flow) -> Alert | None:
        limits, now_s, destination = self.limits, flow.time_s, flow.real_destination
        reported_s, count = self._reported.pop(destination, (float("-inf"), 0))
        is_new = not 0 <= now_s - reported_s < limits.findtime_s
        if is_new:
            if int(now_s) != self._second:
                self._second, self._alerts = int(now_s), 0
            self._alerts += 1
            if self._alerts > _MOST_ALERTS_A_SECOND:
                self.stats.evicted_keys += 1
                return None
        self._reported[destination] = (now_s, 1) if is_new else (reported_s, count + 1)
        if len(self._reported) > limits.max_entries:
            self._reported.popitem(last=False)
            self.stats.evicted_keys += 1
        if not is_new:
            return None
        pod = self.surrounding.names.pod_of(flow.source)
        caller = format_address(flow.source) + (f" (pod {pod})" if pod else "")
        sample = (f"{caller} to {show_service(service_key(flow))}",)
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
            ours=Party(flow.source, show_service(service_key(flow))),
        )


def _opens(flow: Flow) -> bool:
    """Whether it opens a conversation, rather than continuing one that connection tracking had forgotten."""
    if flow.protocol == PROTOCOL_TCP:
        return flow.state == TCP_SYN_SENT
    if flow.protocol == PROTOCOL_UDP:
        return not (flow.source_port in WELL_KNOWN_PORTS and flow.destination_port not in WELL_KNOWN_PORTS)
    if flow.protocol in ECHO_REQUESTS:
        return flow.icmp_type == ECHO_REQUESTS[flow.protocol]
    return True


DETECTOR = Registration(
    detector=EgressDetector,
    settings=EgressSettings,
    summary="The node, or a pod behind it, opens a flow to a destination that is not approved.",
    make=lambda section, context: EgressDetector(
        section.limits(context.ipv6_prefix), section.approved, section.sources
    ),
    is_wanted=lambda section, _: bool(section.approved),
    order=24,
)
