"""What counts as a probe: the one place that decides which packets and flows are evidence of a scan."""

from typing import TypeAlias

from monitor.model.addresses import Address, format_address
from monitor.model.alerts import MAX_LAST, Party
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow, FlowIncomplete, OutboundIncomplete
from monitor.model.protocols import (
    PROTOCOL_NAMES,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TCP_ACK,
    TCP_FLAG_NAMES,
    TCP_RST,
    TRACEROUTE_PORTS,
    WELL_KNOWN_PORTS,
)
from monitor.model.sysctls import Ports

Probe: TypeAlias = PacketLogged | FlowIncomplete
"""What may be one."""
WITNESSES: dict[type[Probe], str] = {
    PacketLogged: "kernel_log",
    FlowIncomplete: "conntrack",
    OutboundIncomplete: "conntrack",
}
"""By its type, the source that saw it."""

SERVICE_KEY_BYTES = 3
_BROADCAST = "ff:ff:ff:ff:ff:ff"


def is_probe(event: Probe, client_ports: Ports) -> bool:
    """Whether this is what a scanner sends and a working network does not: an attempt that nothing answered.

    An attempt that the service answered is a health check's, or a client's that changed its mind. Firewalls log much
    that is no probe, and each of these would ban somebody's resolver, client or neighbour:

    - TCP with ACK or RST belongs to a connection, if a closed one: a first packet has neither (RFC 9293 section 3.5),
    - UDP to a port of the node's own clients, or from a well-known port to a higher one, is a late reply to them,
    - UDP to ports of traceroute,
    - ping, ICMP errors and IGMP,
    - broadcast and multicast are addressed to everybody,
    - packets the node sent itself (no incoming interface) and fragments without ports tell nothing of a source.
    """
    port = event.destination_port
    if isinstance(event, FlowIncomplete):
        return port is not None and not event.was_answered
    if port is None or not event.interface_in or _is_group(event.destination, event.mac):
        return False
    if event.protocol == PROTOCOL_TCP:
        return not event.tcp_flags & (TCP_ACK | TCP_RST)
    if event.protocol != PROTOCOL_UDP or port in client_ports or port in TRACEROUTE_PORTS:
        return False
    return not (event.source_port in WELL_KNOWN_PORTS and port not in WELL_KNOWN_PORTS)


def _is_group(destination: Address, mac: str) -> bool:
    """Whether the packet was sent to many: to a group address (RFC 5771, RFC 4291) or to the link-layer broadcast.

    The group bit of a link-layer address is no sign: clusters such as those of Windows NLB receive all their unicast
    traffic at 03:bf:... or 01:00:5e:7f:.... The node's own broadcasts loop back without a link-layer header: there, any
    address that ends in .255 counts as one.
    """
    first = destination[0]
    if first >= 0xE0 and (len(destination) == 4 or first == 0xFF):
        return True
    if mac:
        return mac.startswith(_BROADCAST)
    return destination[-1] == 0xFF and len(destination) == 4


def service_key(event: Probe | Flow) -> bytes:
    """Return what identifies the service a probe was sent to: protocol and destination port, SERVICE_KEY_BYTES long."""
    return (event.protocol << 16 | (event.destination_port or 0)).to_bytes(SERVICE_KEY_BYTES)


def show_service(key: bytes) -> str:
    """Write a service key for people: `tcp/22`."""
    return f"{PROTOCOL_NAMES.get(key[0], str(key[0]))}/{int.from_bytes(key[1:])}"


def our_party(event: Probe | Flow) -> Party:
    """Return what a probe or flow was sent to, or the source of one that goes out."""
    if isinstance(event, OutboundIncomplete):
        return Party(event.source, show_service(service_key(event)))
    address = event.destination if isinstance(event, PacketLogged) else event.real_destination or event.destination
    return Party(address, show_service(service_key(event)))


def show_packet(event: Probe | Flow) -> str:
    """Write a packet or an attempt for people: `tcp 198.51.100.7:40000 to 192.0.2.1:22, SYN, logged as "drop: "`."""
    protocol = PROTOCOL_NAMES.get(event.protocol, str(event.protocol))
    source_port = None if isinstance(event, FlowIncomplete) else event.source_port
    text = f"{protocol} {_show_end(event.source, source_port)} to "
    text += _show_end(event.destination, event.destination_port)
    if isinstance(event, PacketLogged):
        flags = [name for bit, name in enumerate(TCP_FLAG_NAMES) if event.tcp_flags >> bit & 1]
        text += f", {' '.join(flags)}" if flags else ""
        return f'{text} on {event.interface_in}, logged as "{event.prefix}"'[:MAX_LAST]
    return f"{text}, incomplete attempt" if isinstance(event, FlowIncomplete) else f"{text}, connection"


def _show_end(address: Address, port: int | None) -> str:
    text = format_address(address)
    return text if port is None else f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"
