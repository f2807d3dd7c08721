"""From settings to the detectors of flows and of packet rates, and from the allowlist to who is where."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from monitor.bans.guard import Guard
from monitor.detectors import egress, protected_port
from monitor.detectors.connection_rate import ConnectionRate
from monitor.detectors.flow_limits import FlowDetector, FlowLimits
from monitor.detectors.half_open import HalfOpen as HalfOpenDetector
from monitor.detectors.open_connections import OpenConnections
from monitor.detectors.packet_rate import DropRate, PacketRate, SynRate, UdpRate
from monitor.detectors.udp_amplification import UdpAmplification as UdpAmplificationDetector
from monitor.model.bans import AllowEntry, Mode
from monitor.model.names import DROP_DETECTORS, FLOW_DETECTORS, SENDER_DETECTORS
from monitor.model.networks import Networks, Surrounding
from monitor.node.addresses import OWN_ADDRESS
from monitor.node.kubernetes import POD_NETWORK
from monitor.settings.flows import Egress, HalfOpen, ProtectedPort, UdpAmplification
from monitor.settings.schema import Settings


def _half_open(section: HalfOpen, limits: FlowLimits) -> FlowDetector:
    return HalfOpenDetector(limits, section.total)


def _protected_port(section: ProtectedPort, limits: FlowLimits) -> FlowDetector:
    services = [
        protected_port.ProtectedService(
            name, tuple(range(ports.first, ports.last + 1) for ports in service.ports), service.networks
        )
        for name, service in section.services.items()
    ]
    return protected_port.ProtectedPort(limits, services)


def _egress(section: Egress, limits: FlowLimits) -> FlowDetector:
    return egress.Egress(limits, section.approved, section.sources)


def _udp_amplification(section: UdpAmplification, limits: FlowLimits) -> FlowDetector:
    return UdpAmplificationDetector(limits, section.ports, section.ratio)


_MAKERS: Mapping[str, Callable[[Any, FlowLimits], FlowDetector | PacketRate[Any]]] = {
    "half_open": _half_open,
    "connection_rate": lambda _, limits: ConnectionRate(limits),
    "open_connections": lambda _, limits: OpenConnections(limits),
    "protected_port": _protected_port,
    "egress": _egress,
    "udp_amplification": _udp_amplification,
    "drop_rate": lambda _, limits: DropRate(limits),
    "syn_rate": lambda _, limits: SynRate(limits),
    "udp_rate": lambda _, limits: UdpRate(limits),
}


def is_watched(settings: Settings, name: str) -> bool:
    """Whether a detector has anything to do: where nothing is approved, everything is; only XDP sees all that comes."""
    if name in SENDER_DETECTORS:
        return bool(settings.bans.xdp.interfaces)
    return name != egress.Egress.name or bool(settings.detectors.egress.approved)


def build_flow_detectors(settings: Settings, kept: Mapping[str, Any]) -> Iterator[FlowDetector | PacketRate[Any]]:
    """Make the detectors of flows and packets; one of `kept` goes on where only the answer to its alerts changed."""
    for name in (*FLOW_DETECTORS, *DROP_DETECTORS, *SENDER_DETECTORS):
        if not is_watched(settings, name):
            continue
        section = getattr(settings.detectors, name)
        recipe = msgspec.structs.replace(section, mode=Mode.OBSERVE, bantime_s=1.0), settings.bans.prefixes.ipv6_score
        known = kept.get(name)
        if known is not None and known.recipe == recipe:
            yield known
        else:
            made = _MAKERS[name](section, _limits(section, settings))
            made.recipe = recipe
            yield made


def _limits(section: Any, settings: Settings) -> FlowLimits:
    """Return when to fire; what fires at once has no threshold of its own, and bytes are told by another name."""
    maxretry: int = getattr(section, "maxretry", 0) or getattr(section, "answered_bytes", 1)
    max_entries: int = getattr(section, "max_entries", 0)
    return FlowLimits(section.findtime_s, maxretry, max_entries, settings.bans.prefixes.ipv6_score)


def build_surrounding(guard: Guard, node: Iterable[AllowEntry]) -> Surrounding:
    """Return who is where: `node` are the entries that the node itself needs."""
    entries = list(node)
    return Surrounding(
        own=frozenset(entry.network.address for entry in entries if entry.reason == OWN_ADDRESS),
        pods=Networks(entry.network for entry in entries if entry.reason.startswith(POD_NETWORK)),
        protected=Networks(guard.networks()),
    )
