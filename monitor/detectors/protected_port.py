"""Protected port: a source outside the networks that may use a service completes a connection to it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, field

from monitor.config.shapes import Section
from monitor.config.types import PortRange
from monitor.detectors.detector import Detector
from monitor.detectors.kept import Extent, Kept
from monitor.detectors.limits import Limits
from monitor.detectors.origins import origin_alert
from monitor.detectors.probes import our_party, service_key, show_packet, show_service
from monitor.detectors.proofs import service_proof
from monitor.detectors.registration import Registration
from monitor.detectors.settings import RECENT, DetectorSettings
from monitor.model.addresses import Network, origin_key, parse_network
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.flows import Flow, FlowBatch
from monitor.model.networks import Networks
from monitor.model.protocols import PROTOCOL_TCP

_MOST_ALERTS_A_BATCH = 64
_PRIVATE = tuple(map(parse_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))


class ProtectedServiceSettings(Section, frozen=True, kw_only=True):
    """One service that only some networks may use."""

    ports: Annotated[
        tuple[PortRange, ...], Meta(description="TCP ports of the service, before or after destination NAT.")
    ]
    networks: Annotated[
        tuple[Network, ...],
        Meta(description="Networks that may connect, in addition to the allowlist. Empty: the allowlist only."),
    ] = _PRIVATE


_KUBERNETES = {
    "etcd": ProtectedServiceSettings(ports=(PortRange(2379, 2380),)),
    "kube-apiserver": ProtectedServiceSettings(ports=(PortRange(6443, 6443),)),
    "kubelet": ProtectedServiceSettings(ports=(PortRange(10250, 10250),)),
}


class ProtectedPortSettings(DetectorSettings, frozen=True, kw_only=True):
    """A source from outside uses an internal service."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. One connection is enough: "
            "name every network that may connect before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[
        float, RECENT, Meta(description="Reported with the alert, without further effect: one connection is enough.")
    ] = field(default=60.0, name="findtime")
    services: Annotated[
        dict[str, ProtectedServiceSettings],
        Meta(description="The protected services by name. Those of Kubernetes are defined, for private networks."),
    ] = field(default_factory=_KUBERNETES.copy)


class ProtectedPortDetector(Detector[FlowBatch]):
    """Fires at each complete handshake of a source with a service that it may not use.

    Attempts are no connections: a source that the firewall turns away, or a forged one, is not reported here. Both the
    port that was called and the one after destination NAT count. The allowlist may use every service.
    """

    name = "protected_port"
    takes = (FlowBatch,)

    def __init__(self, limits: Limits, services: Mapping[str, ProtectedServiceSettings]) -> None:
        """Take the services by name; of two with one port both are checked."""
        super().__init__(limits)
        self._by_port: dict[int, list[tuple[str, Networks]]] = {}
        for name, service in services.items():
            entry = (name, Networks(service.networks))
            for port in {port for ports in service.ports for port in range(ports.first, ports.last + 1)}:
                self._by_port.setdefault(port, []).append(entry)

    def take_over(self, old: Detector[Any], now_s: float) -> Kept:
        """Say that there is nothing to keep."""
        del old, now_s
        return Kept(Extent.ALL, "it counts nothing: one connection is enough")

    def feed(self, events: Sequence[FlowBatch]) -> list[Alert]:
        """Return the alerts that batches raised; of very many in one batch only the first."""
        return [alert for batch in events for alert in self._take(batch)]

    def _take(self, batch: FlowBatch) -> list[Alert]:
        alerts: list[Alert] = []
        known = self._by_port
        for flow in batch.completed:
            is_known = flow.destination_port in known or flow.real_destination_port in known
            if is_known and flow.protocol == PROTOCOL_TCP:
                alerts += self._judge(flow)
                if len(alerts) >= _MOST_ALERTS_A_BATCH:
                    break
        return alerts

    def _judge(self, flow: Flow) -> Iterable[Alert]:
        ports = dict.fromkeys((flow.destination_port, flow.real_destination_port))
        for name, networks in dict.fromkeys(entry for port in ports for entry in self._by_port.get(port or 0, ())):
            if flow.source in networks or flow.source in self.surrounding.protected:
                continue
            self.stats.peak = 1
            limits = self.limits
            proof = service_proof(
                origin_key(flow.source, limits.ipv6_prefix // 8), flow.protocol, flow.destination_port
            )
            what = f"connection to {name} ({show_service(service_key(flow))})"
            yield origin_alert(
                self.name,
                limits,
                flow.source,
                flow.time_s,
                1,
                what,
                handshakes=proof,
                last=show_packet(flow),
                ours=our_party(flow),
            )
            return


DETECTOR = Registration(
    detector=ProtectedPortDetector,
    settings=ProtectedPortSettings,
    summary="A source from outside completes a connection to an internal service.",
    make=lambda section, context: ProtectedPortDetector(section.limits(context.ipv6_prefix), section.services),
    order=23,
)
