"""Flows: what the connection table says of connections as they open, complete a handshake and close.

Each has two directions. In the original one `source` speaks to `destination`, as the first packet was addressed; the
reply's addresses tell what network address translation made of it: `real_destination` is who really answers (the pod
behind a NodePort or service address), `translated_source` is whom it answers to. Without translation they are equal.

The tags tell the classes apart in recordings: a number once used keeps its meaning.
"""

from typing import ClassVar, TypeAlias

import msgspec

from monitor.model.addresses import Address
from monitor.model.protocols import ESTABLISHED_STATES, STATUS_SEEN_REPLY


class Flow(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """One entry of the connection table, at the time of one message about it.

    `time_s` is wall time in seconds: when it was received. `namespace` is the number by which the receiver's network
    namespace knows the one it comes from (NETLINK_LISTEN_ALL_NSID), None for its own. Ports are None where the protocol
    has none (ICMP, unknown protocols); GRE's are its keys' upper halves, as the kernel tells them.
    """

    time_s: float
    namespace: int | None
    source: Address
    destination: Address
    protocol: int
    source_port: int | None
    destination_port: int | None
    real_destination: Address
    translated_source: Address
    real_destination_port: int | None
    translated_source_port: int | None
    id: int = 0
    """The kernel's number of the entry: the same in all messages about it, soon used again for others."""
    status: int = 0
    """STATUS_* bits; 0 where the kernel does not tell (closed flows, older kernels)."""
    state: int | None = None
    """Of TCP, SCTP and DCCP, each with numbers of its own; None where the message does not tell."""
    event_ns: int | None = None
    """Wall time of the event itself (kernel 6.14 and newer, with net.netfilter.nf_conntrack_timestamp)."""
    mark: int = 0
    zone: int = 0
    """Of both directions, or of the original one where they differ."""
    reply_zone: int | None = None
    """Set where the zone is of the reply direction only."""
    icmp_id: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    original_packets: int | None = None
    """Counters are None without net.netfilter.nf_conntrack_acct."""
    original_bytes: int | None = None
    reply_packets: int | None = None
    reply_bytes: int | None = None
    start_ns: int | None = None
    """Wall time; None without net.netfilter.nf_conntrack_timestamp, and in messages that do not tell."""
    stop_ns: int | None = None

    @property
    def is_answered(self) -> bool:
        """Whether packets were seen in both directions; an answer to a forged packet is one, too."""
        return bool(self.status & STATUS_SEEN_REPLY)

    @property
    def is_masqueraded(self) -> bool:
        """Whether this node sent it on under another source address: the source lies behind the node."""
        return self.translated_source != self.source and self.real_destination == self.destination

    @property
    def is_established(self) -> bool:
        """Whether this message says that a handshake is complete: answered, and in the state that says so."""
        return self.is_answered and self.state in ESTABLISHED_STATES.get(self.protocol, ())


FlowKey: TypeAlias = tuple[int | None, int, int | None]
"""Namespace, the kernel's number of the entry, and the source port, since numbers are used again: one connection."""


def flow_key(flow: Flow) -> FlowKey:
    """Return which connection a flow is of."""
    return flow.namespace, flow.id, flow.source_port


class FlowOpened(Flow, frozen=True, gc=False, tag=1):
    """The first packet passed. TCP picked up in the middle begins in TCP_ESTABLISHED: that proves no handshake."""


class FlowEstablished(Flow, frozen=True, gc=False, tag=2):
    """A handshake is complete, as connection tracking sees it. May come more than once, as when the mark changes, too.

    Not quite a proof for TCP: any acknowledgement up to 66,000 bytes below the right one passes (MAXACKWINCONST in
    nf_conntrack_proto_tcp.c), so a forger who sees no answer guesses one in about 65,000 packets.
    """


class FlowClosed(Flow, frozen=True, gc=False, tag=3):
    """The entry is gone; with its counters and times, if they are kept. `state` is the last one."""


class FlowReset(Flow, frozen=True, gc=False, tag=4):
    """One end gave an answered TCP connection up (RST). Its entry goes some seconds later."""


class FlowListed(Flow, frozen=True, gc=False, tag=5):
    """The entry was in a dump of the table: it opened some time ago."""


class FlowIncomplete(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """A connection attempt that completed no handshake in time: a probe, or a service that is not there.

    `time_s` is the wall time of its first packet, which anyone can have forged.
    """

    covers_all_traffic: ClassVar[bool] = True

    time_s: float
    source: Address
    destination: Address
    protocol: int
    destination_port: int | None
    namespace: int | None = None
    was_refused: bool = False
    """Whether it was turned down at once (RST) rather than left open."""
    was_answered: bool = False
    """Whether the service answered and the source then gave up (RST), as health checks and half-open scanners do."""
    real_destination: Address | None = None
    """The destination after NAT, where that changed address or port."""
    real_destination_port: int | None = None
    translated_source: Address | None = None
    """The source after NAT, where that changed it."""

    @property
    def is_masqueraded(self) -> bool:
        """Whether this node sent it on under another source address: the source lies behind the node."""
        return self.translated_source is not None and self.real_destination is None


class OutboundIncomplete(FlowIncomplete, frozen=True, gc=False, tag=1):
    """An attempt of the node itself, or of a host behind it, to reach somebody else that completed no handshake."""

    covers_all_traffic: ClassVar[bool] = False


AnyFlow: TypeAlias = Flow | FlowOpened | FlowEstablished | FlowClosed | FlowReset | FlowListed
"""A flow of each class, for decoders: its tag tells which."""
AnyAttempt: TypeAlias = FlowIncomplete | OutboundIncomplete
"""An incomplete attempt of each class."""


class ListenTotals(msgspec.Struct, frozen=True, array_like=True):
    """What listeners of this node did since it started (/proc/net/netstat and /proc/net/snmp, snmp_counter.rst)."""

    overflows: int = 0
    """ListenOverflows: an accept queue was full, because the application accepts too slowly."""
    drops: int = 0
    """ListenDrops: attempts dropped at a listener for any reason, overflows included."""
    cookies: int = 0
    """SyncookiesSent: attempts answered without remembering them, because a queue was full."""
    accepted: int = 0
    """PassiveOpens: connections that TCP accepted."""


class FlowBatch(msgspec.Struct, array_like=True):
    """What one look at connection tracking told, sorted by what it means; nobody changes it once it is made."""

    covers_all_traffic: ClassVar[bool] = True

    time_s: float
    """Wall time of the look, in seconds."""
    has_gap: bool = False
    """Events were lost beside this: what was completed or ended then was not told."""
    has_more: bool = False
    """More events were waiting: what happened before `time_s` is not all in yet."""
    invalid_total: int | None = None
    """The table's total of invalid packets (32 bits), where this look took it."""
    listen_totals: ListenTotals | None = None
    """What listeners of this node did so far, where this poll read it."""
    attempts: int = 0
    """First packets of handshakes."""
    completions: int = 0
    """Complete handshakes, begun before or after whatever gap; one may count twice (see FlowEstablished)."""
    opened: list[Flow] = msgspec.field(default_factory=list)
    """First packets of all protocols that passed, and of connections picked up in their middle."""
    completed: list[Flow] = msgspec.field(default_factory=list)
    """Handshakes seen from their first packet to their end, each once; `time_s` is that of the end."""
    late: list[Flow] = msgspec.field(default_factory=list)
    """Handshakes that were completed after their attempt had been taken for incomplete, each once."""
    ending: list[Flow] = msgspec.field(default_factory=list)
    """Flows that one end is done with: FlowEstablished in TCP_FIN_WAIT, FlowReset, FlowClosed. One comes repeatedly."""
    listed: list[Flow] = msgspec.field(default_factory=list)
    """Established connections of a list of the table: they were there before."""
    incomplete: list[FlowIncomplete] = msgspec.field(default_factory=list)
    """Attempts that came to nothing."""
    ended: list[FlowKey] = msgspec.field(default_factory=list)
    """Which connections those in `ending` are. A recording keeps no more of them, unless they are UDP's."""

    @property
    def only_ends(self) -> bool:
        """Whether nothing happened but ends of connections, or nothing at all."""
        counted = self.attempts or self.completions or self.has_gap
        return not (counted or self.opened or self.completed or self.late or self.listed or self.incomplete)

    @property
    def is_empty(self) -> bool:
        """Whether it tells of no connection at all: only what time it is, and totals."""
        return self.only_ends and not (self.ending or self.ended)

    def ended_keys(self) -> list[FlowKey]:
        """Return which connections end, also if nobody has noted it."""
        return self.ended or [flow_key(flow) for flow in self.ending]
