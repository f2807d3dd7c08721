"""UDP amplification: small requests with long replies, sent in the name of a victim that never asked."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import PORT, number, size
from monitor.config.port_names import PORTS
from monitor.detectors.limits import Limits
from monitor.detectors.origin_rate import RateDetector
from monitor.detectors.origins import origin_alert
from monitor.detectors.probes import our_party, service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.scoring import SAMPLE_SIZE
from monitor.detectors.settings import BAN_PORTS, BANTIME, ENTRIES, RECENT, DetectorSettings
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.flows import Flow, FlowBatch, FlowClosed
from monitor.model.protocols import PROTOCOL_UDP

UNCOUNTED = Metric(
    "nodewarden_uncounted_flows_total",
    COUNTER,
    "Flows to services that amplify, for which the kernel counted no bytes (net.netfilter.nf_conntrack_acct is off).",
)


class UdpAmplificationSettings(DetectorSettings, frozen=True, kw_only=True):
    """The node's replies are used to flood a victim."""

    mode: Annotated[
        Mode,
        Meta(description="`enforce` refuses further requests in the victim's name; `observe` only records them."),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, RECENT, Meta(description="How far back replies are counted.")] = field(
        default=60.0, name="findtime"
    )
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    ban_ports: Annotated[tuple[Annotated[str, PORTS], ...], BAN_PORTS] = field(default=(), name="ban_ports")
    """Its key is not `ports`, which are those of the services."""
    ports: Annotated[
        tuple[Annotated[int, PORT], ...],
        Meta(description="UDP ports of services that amplify: DNS, NTP, CLDAP, SSDP, memcached."),
    ] = (53, 123, 389, 1900, 11211)
    ratio: Annotated[
        float,
        number(1, 100_000),
        Meta(description="Count flows whose reply is at least this many times larger than the request."),
    ] = 8.0
    answered_bytes: Annotated[
        int,
        size("1KB", "1TB"),
        Meta(description="Alert when such replies to one address reach this size within `findtime`."),
    ] = field(default=5_000_000, name="answered")
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of addresses remembered: the bound on memory.")
    ] = 32_768

    def limits(self, ipv6_prefix: int) -> Limits:
        """Return when to fire: the threshold is in bytes."""
        return Limits(self.findtime_s, self.answered_bytes, self.max_entries, ipv6_prefix)


class UdpAmplificationDetector(RateDetector[FlowBatch]):
    """Fires when flows of one source, each with a reply `ratio` times its request, had replies of `maxretry` bytes.

    The source is the address that the replies hit, and hardly the one that asked. A flow is judged when it ends; one
    without counters (net.netfilter.nf_conntrack_acct is off) cannot be judged, and is counted in `uncounted_total`. The
    node's own requests do not count.
    """

    name = "udp_amplification"
    takes = (FlowBatch,)
    metrics = (UNCOUNTED,)

    def __init__(self, limits: Limits, ports: Sequence[int], ratio: float) -> None:
        """Take the ports of services that amplify; `limits.maxretry` is in bytes."""
        super().__init__(limits)
        self.uncounted_total = 0
        self._ports, self._ratio = frozenset(ports), ratio

    def feed(self, events: Sequence[FlowBatch]) -> Iterator[Alert]:
        """Yield the alerts that batches raised."""
        for batch in events:
            yield from self._take(batch)

    def samples(self) -> Iterator[Sample]:
        """Yield how many flows could not be judged."""
        yield UNCOUNTED.name, (), self.uncounted_total

    def _take(self, batch: FlowBatch) -> Iterator[Alert]:
        amplified = [
            flow
            for flow in batch.ending
            if type(flow) is FlowClosed and flow.protocol == PROTOCOL_UDP and self._is_amplified(flow)
        ]
        weights = [flow.reply_bytes or 0 for flow in amplified]
        for _, source, count in self.rate.add([flow.source for flow in amplified], batch.time_s, weights):
            own = [flow for flow in amplified if flow.source == source]
            sample = tuple(dict.fromkeys(show_service(service_key(flow)) for flow in own))[:SAMPLE_SIZE]
            what = "bytes of answers to small UDP requests"
            ours = our_party(own[-1])
            yield origin_alert(self.name, self.limits, source, batch.time_s, count, what, sample=sample, ours=ours)

    def _is_amplified(self, flow: Flow) -> bool:
        if flow.destination_port not in self._ports and flow.real_destination_port not in self._ports:
            return False
        if flow.source in self.surrounding.own:
            return False
        if flow.original_bytes is None or flow.reply_bytes is None:
            self.uncounted_total += 1
            return False
        return flow.reply_bytes >= self._ratio * flow.original_bytes


DETECTOR = Registration(
    detector=UdpAmplificationDetector,
    settings=UdpAmplificationSettings,
    summary="Small UDP requests get long replies: forged requests, whose replies hit a victim. "
    "Needs `net.netfilter.nf_conntrack_acct=1`.",
    make=lambda section, context: UdpAmplificationDetector(
        section.limits(context.ipv6_prefix), section.ports, section.ratio
    ),
    order=25,
)
