"""Events: attributed facts that sources hand to detectors, in batches."""

from typing import TypeAlias

import msgspec

from monitor.model.addresses import Address
from monitor.model.alerts import Strength
from monitor.model.flows import FlowBatch, FlowIncomplete

DROP_CLASSES = ("firewall", "closed_port", "bad_packet", "no_memory", "rate_limit", "other")
"""What the kernel's reasons to drop a packet mean; `no_memory` is the node's trouble, never an offence."""


class QuotedPacket(msgspec.Struct, frozen=True, gc=False):
    """The packet an ICMP error quotes: what *we* (or somebody in our name) are said to have sent."""

    source: Address
    destination: Address
    protocol: int
    source_port: int | None = None
    destination_port: int | None = None


class PacketLogged(msgspec.Struct, frozen=True, gc=False):
    """A packet that a firewall rule wrote to the kernel log.

    `time_s` is wall time (seconds since the epoch), ports are None where the packet has none (fragments, ICMP),
    `tcp_flags` is a mask of the TCP_* bits. An empty `interface_in` means the node sent it itself.
    """

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


class AuthFailure(msgspec.Struct, frozen=True, gc=False):
    """An attempt that an application refused and logged.

    `time_s` is wall time (seconds since the epoch), `detector` the one whose filter found it, `log` a path or
    `journal`. `strength` is PROVEN where only the application can have written the line, and knows whom it talked to.
    """

    time_s: float
    detector: str
    source: Address
    strength: Strength
    log: str
    user: str = ""
    """The name that was tried, as the attacker sent it: at most 64 characters."""
    prefix_length: int | None = None
    """Set where the line names a network rather than one address."""


class DropsObserved(msgspec.Struct, frozen=True, gc=False):
    """Packets of one source that the kernel dropped since it was looked at last.

    `time_s` is the wall time of the look. `packets` are by class of reason, in the order of `DROP_CLASSES`.
    """

    time_s: float
    source: Address
    packets: tuple[int, ...]
    outer: Address | None = None
    """Where the packets came in a tunnel: who sent the last of those around them."""


class SenderObserved(msgspec.Struct, frozen=True, gc=False):
    """What one source sent since it was looked at last, as it arrived at an interface: before any firewall.

    `time_s` is the wall time of the look; `syn_packets` are first packets of TCP connections.
    """

    time_s: float
    source: Address
    syn_packets: int
    udp_packets: int


Event: TypeAlias = PacketLogged | AuthFailure | FlowIncomplete | FlowBatch | DropsObserved | SenderObserved
"""Every kind of event there is; of flows only what detectors take."""
