"""UDP amplification: small requests that are answered at length, in somebody's name who never asked."""

from collections.abc import Iterable, Sequence

from monitor.detectors.flow_limits import FlowLimits, RateDetector, flow_alert
from monitor.detectors.probes import service_key, show_service
from monitor.detectors.scoring import SAMPLE_SIZE
from monitor.model.alerts import Alert
from monitor.model.flows import Flow, FlowBatch, FlowClosed
from monitor.model.protocols import PROTOCOL_UDP


class UdpAmplification(RateDetector):
    """Fires when flows of one source, each answered with `ratio` times its bytes, were answered with `maxretry` bytes.

    The source is whom the answers hit, and hardly who asked. A flow is judged when it ends; one without counters
    (net.netfilter.nf_conntrack_acct is off) tells nothing, and is counted in `uncounted_total`. The node's own
    requests do not count.
    """

    name = "udp_amplification"

    def __init__(self, limits: FlowLimits, ports: Sequence[int], ratio: float) -> None:
        """Take the ports of services that amplify; `limits.maxretry` is in bytes."""
        super().__init__(limits)
        self.ports, self.ratio = frozenset(ports), ratio
        self.uncounted_total = 0

    def feed(self, batch: FlowBatch) -> Iterable[Alert]:
        """Return the alerts that a batch raised."""
        amplified = [
            flow
            for flow in batch.ending
            if type(flow) is FlowClosed and flow.protocol == PROTOCOL_UDP and self._is_amplified(flow)
        ]
        weights = [flow.reply_bytes or 0 for flow in amplified]
        for _, source, count in self.rate.add([flow.source for flow in amplified], batch.time_s, weights):
            services = dict.fromkeys(show_service(service_key(flow)) for flow in amplified if flow.source == source)
            sample = tuple(services)[:SAMPLE_SIZE]
            what = "bytes of answers to small UDP requests"
            yield flow_alert(self.name, self.thresholds, source, batch.time_s, count, what, sample=sample)

    def _is_amplified(self, flow: Flow) -> bool:
        if flow.destination_port not in self.ports and flow.real_destination_port not in self.ports:
            return False
        if flow.source in self.surrounding.own:
            return False
        if flow.original_bytes is None or flow.reply_bytes is None:
            self.uncounted_total += 1
            return False
        return flow.reply_bytes >= self.ratio * flow.original_bytes
