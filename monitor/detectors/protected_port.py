"""Protected port: somebody from outside the networks that may use a service completes a connection to it."""

from collections.abc import Iterable, Sequence

import msgspec

from monitor.detectors.flow_limits import FlowDetector, FlowLimits, flow_alert
from monitor.detectors.origins import origin_key
from monitor.detectors.probes import service_key, show_service
from monitor.detectors.proofs import service_proof
from monitor.model.addresses import Address, Network
from monitor.model.alerts import Alert
from monitor.model.flows import Flow, FlowBatch
from monitor.model.networks import Networks
from monitor.model.protocols import PROTOCOL_TCP

_MOST_ALERTS_A_BATCH = 64


class ProtectedService(msgspec.Struct, frozen=True):
    """TCP ports that only some networks may connect to."""

    name: str
    ports: tuple[range, ...]
    networks: tuple[Network, ...]


class ProtectedPort(FlowDetector):
    """Fires at each complete handshake with a protected service by somebody who may not have it.

    Attempts are no connections: whom the firewall turns away, or who forges an address, is not told of here. Both the
    port that was called and the one behind destination NAT count. What is on the allowlist may have any service.
    """

    name = "protected_port"

    def __init__(self, limits: FlowLimits, services: Sequence[ProtectedService]) -> None:
        """Take the services; of two with one port both are looked at."""
        super().__init__(limits)
        self._by_port: dict[int, list[tuple[str, Networks]]] = {}
        for service in services:
            entry = (service.name, Networks(service.networks))
            for port in {port for ports in service.ports for port in ports}:
                self._by_port.setdefault(port, []).append(entry)

    def feed(self, batch: FlowBatch) -> Iterable[Alert]:
        """Return the alerts that a batch raised; of very many at once only the first."""
        alerts: list[Alert] = []
        known = self._by_port
        for flow in batch.completed:
            is_known = flow.destination_port in known or flow.real_destination_port in known
            if is_known and flow.protocol == PROTOCOL_TCP:
                alerts += self._judge(flow)
                if len(alerts) >= _MOST_ALERTS_A_BATCH:
                    break
        return alerts

    def count(self, source: Address) -> int:  # noqa: ARG002 - as the others have it
        """Return 0: one connection is enough, nothing is remembered."""
        return 0

    def _judge(self, flow: Flow) -> Iterable[Alert]:
        ports = dict.fromkeys((flow.destination_port, flow.real_destination_port))
        for name, networks in dict.fromkeys(entry for port in ports for entry in self._by_port.get(port or 0, ())):
            if flow.source in networks or flow.source in self.surrounding.protected:
                continue
            self.own_stats.peak = 1
            limits = self.thresholds
            proof = service_proof(
                origin_key(flow.source, limits.ipv6_prefix // 8), flow.protocol, flow.destination_port
            )
            what = f"connection to {name} ({show_service(service_key(flow))})"
            yield flow_alert(self.name, limits, flow.source, flow.time_s, 1, what, handshakes=proof)
            return
