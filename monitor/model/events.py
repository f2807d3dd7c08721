"""Events: attributed facts that sources hand to detectors, in batches of one type.

Each type states in `covers_all_traffic` whether its source reports all traffic, that of the node and of everyone on the
allowlist included. What a protected address does there is no offence, so it is neither counted nor reported as spared.
The other types report what somebody has refused already: a firewall's log, an application.

All are `array_like`: a recording writes them as rows without names, at the speed of msgspec.
"""

import re
from typing import ClassVar, TypeAlias, get_args

import msgspec

from monitor.model.addresses import Address
from monitor.model.alerts import Strength
from monitor.model.flows import FlowBatch, FlowIncomplete, OutboundIncomplete

DROP_CLASSES = ("firewall", "closed_port", "bad_packet", "no_memory", "rate_limit", "other")
"""What the kernel's reasons to drop a packet mean; `no_memory` is the node's trouble, never an offence."""


class QuotedPacket(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The packet an ICMP error quotes: what *we* (or somebody in our name) are said to have sent."""

    source: Address
    destination: Address
    protocol: int
    source_port: int | None = None
    destination_port: int | None = None


class PacketLogged(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A packet that a firewall rule wrote to the kernel log.

    `time_s` is wall time (seconds since the epoch), ports are None where the packet has none (fragments, ICMP),
    `tcp_flags` is a mask of the TCP_* bits. An empty `interface_in` means the node sent it itself.
    """

    covers_all_traffic: ClassVar[bool] = False

    time_s: float
    prefix: str
    interface_in: str
    interface_out: str
    source: Address
    destination: Address
    protocol: int
    source_port: int | None = None
    destination_port: int | None = None
    tcp_flags: int = 0
    mac: str = ""
    icmp_type: int | None = None
    icmp_code: int | None = None
    mark: int = 0
    vlan_id: int | None = None
    quoted: QuotedPacket | None = None


class AuthFailure(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An attempt that an application refused and logged.

    `time_s` is wall time (seconds since the epoch), `detector` the one whose filter found it, `log` a path or
    `journal`. `strength` is PROVEN where only the application can have written the line, and knows whom it talked to.
    """

    covers_all_traffic: ClassVar[bool] = False

    time_s: float
    detector: str
    source: Address
    strength: Strength
    log: str
    user: str = ""
    """The name that was tried, as the attacker sent it: at most 64 characters."""
    prefix_length: int | None = None
    """Set where the line names a network rather than one address."""
    doubt: str = ""
    """Why the line proves nothing, in a few words; empty where it does."""
    line: str = ""
    """The line as it was read, at most `MAX_LAST` characters; who wrote it may be hostile."""


class DropsObserved(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Packets of one source that the kernel dropped since the last poll.

    `time_s` is the wall time of the poll. `packets` are by class of reason, in the order of `DROP_CLASSES`; all are
    zero for an infrequent source, of which only the ports of its probes are known.
    """

    covers_all_traffic: ClassVar[bool] = True

    time_s: float
    source: Address
    packets: tuple[int, ...]
    outer: Address | None = None
    """Where an overlay peer's tunnel carried the packets: the peer. Then `source` is that of the inner packets."""
    tunnelled: int = 0
    """How many of the packets were those of a tunnel. Without `outer`, `source` sent the tunnel's packets itself."""
    stealth_ports: int = 0
    """A bitmap (`monitor.model.port_bitmap`) of the ports of refused FIN, NULL, Xmas and SYN/FIN probes."""
    closed_ports: int = 0
    """A bitmap of the ports of refused SYN and UDP probes."""


class SenderObserved(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one source sent since the last poll, as it arrived at an interface: before any firewall.

    `time_s` is the wall time of the poll; `syn_packets` are first packets of TCP connections.
    """

    covers_all_traffic: ClassVar[bool] = True

    time_s: float
    source: Address
    syn_packets: int
    udp_packets: int


Event: TypeAlias = (
    PacketLogged | AuthFailure | FlowIncomplete | OutboundIncomplete | FlowBatch | DropsObserved | SenderObserved
)
"""Every type of event there is; of flows only what detectors take."""

KINDS: dict[type[Event], str] = {
    event: re.sub("(?<!^)(?=[A-Z])", "_", event.__name__).lower() for event in get_args(Event) if event is not FlowBatch
}
"""By type of event, its name in metrics: `packet_logged`. Batches of flows are counted by flow (pipeline.traffic)."""
