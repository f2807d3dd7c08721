"""Drop reasons by their names in the running kernel's BTF, because the numbers are not stable. Pure.

Each name is judged once, in the tables below. The kernel reports as dropped also what no network carried: messages of
netlink and AF_UNIX sockets, and data that nobody reads any more when a socket is closed. `fate` tells them apart.
"""

import enum
from collections.abc import Mapping

import msgspec

from monitor.ebpf.btf import Btf

_PREFIX = "SKB_DROP_REASON_"
_NO_DROPS = frozenset(("SKB_NOT_DROPPED_YET", "SKB_CONSUMED"))
_SUBSYSTEM_SHIFT = 16  # SKB_DROP_REASON_SUBSYS_SHIFT, net/dropreason.h
_SUFFIX = "_drop_reason"
UNKNOWN = "unknown"


class ReasonClass(enum.StrEnum):
    """What a reason says about the cause; a closed set, in the order of the counters of `drops.c`."""

    FIREWALL = "firewall"
    CLOSED_PORT = "closed_port"
    BAD_PACKET = "bad_packet"
    NO_MEMORY = "no_memory"
    """No memory or buffer space: a resource problem of the node, never an offence."""
    RATE_LIMIT = "rate_limit"
    OTHER = "other"


class Fate(enum.StrEnum):
    """What became of a buffer that the kernel reports as dropped; a closed set."""

    DROPPED = "dropped"
    """A packet that should have arrived."""
    NO_PACKET = "no_packet"
    """A message of a local socket, such as one of netlink."""
    TEARDOWN = "teardown"
    """It had arrived, or did not need to, when its socket or queue was closed."""


_TEARDOWN = (
    "SOCKET_CLOSE SOCKET_RCV_SHUTDOWN SOCKET_INVALID_STATE QUEUE_PURGE UNIX_DISCONNECT UNIX_SKIP_OOB UNIX_NO_PERM "
    "UNIX_INFLIGHT_FD_LIMIT TCP_ABORT_ON_DATA"
)
"""Socket teardown: sockets closed with unread data, and data that came after."""
_ALSO_NO_PACKETS = "NOT_SPECIFIED NOMEM PROTO_MEM SOCKET_FILTER SOCKET_RCVBUFF SECURITY_HOOK SKB_UCOPY_FAULT"
"""Reasons that local messages have as well; every other one in these tables is of a packet, header or not."""
UNNAMED = frozenset(("NOT_SPECIFIED", UNKNOWN))
"""Reasons that say nothing."""
_WORDS = (
    (ReasonClass.FIREWALL, "NETFILTER_DROP XDP TC_INGRESS TC_EGRESS BPF_CGROUP_EGRESS SOCKET_FILTER SECURITY_HOOK"),
    (ReasonClass.CLOSED_PORT, "NO_SOCKET IP_NOPROTO TCP_CLOSE"),
    (
        ReasonClass.NO_MEMORY,
        (
            "NOMEM PROTO_MEM SOCKET_RCVBUFF SOCKET_BACKLOG FULL_RING CPU_BACKLOG PFMEMALLOC TCP_LISTEN_OVERFLOW "
            "TCP_OFO_QUEUE_PRUNE NEIGH_QUEUEFULL"
        ),
    ),
    (ReasonClass.RATE_LIMIT, "QDISC_DROP QDISC_OVERLIMIT QDISC_CONGESTED CAKE_FLOOD DUALPI2_STEP_DROP"),
    (
        ReasonClass.BAD_PACKET,
        (
            "PKT_TOO_SMALL IP_INHDR IP_RPFILTER HDR_TRUNC DEV_HDR TCP_FLAGS TCP_INVALID_SYN INVALID_PROTO "
            "UNHANDLED_PROTO IP_INADDRERRORS IP_LOCAL_SOURCE IP_INVALID_SOURCE IP_INVALID_DEST IP_LOCALNET "
            "IPV6_BAD_EXTHDR TCP_MINTTL MAC_INVALID_SOURCE LOCAL_MAC VXLAN_INVALID_HDR FRAG_TOO_FAR DUP_FRAG"
        ),
    ),
    (
        # late or repeated packets of connections, routes and neighbours that are missing
        ReasonClass.OTHER,
        (
            "NOT_SPECIFIED OTHERHOST UNICAST_IN_L2_MULTICAST XFRM_POLICY TCP_AUTH_HDR TCP_ZEROWINDOW TCP_OLD_DATA "
            "TCP_OVERWINDOW TCP_OFOMERGE TCP_RFC7323_PAWS TCP_RFC7323_PAWS_ACK TCP_RFC7323_TW_PAWS TCP_RFC7323_TSECR "
            "TCP_OLD_SEQUENCE TCP_INVALID_SEQUENCE TCP_INVALID_END_SEQUENCE TCP_INVALID_ACK_SEQUENCE TCP_FASTOPEN "
            "TCP_RESET TCP_OLD_ACK TCP_TOO_OLD_ACK TCP_ACK_UNSENT_DATA TCP_OFO_DROP IP_OUTNOROUTES IP_INNOROUTES "
            "IPV6DISABLED NEIGH_CREATEFAIL NEIGH_FAILED NEIGH_DEAD NEIGH_HH_FILLFAIL SKB_GSO_SEG SKB_UCOPY_FAULT "
            "DEV_READY TAP_FILTER TAP_TXFILTER PKT_TOO_BIG FRAG_REASM_TIMEOUT TC_COOKIE_ERROR TC_CHAIN_NOTFOUND "
            "TC_RECLASSIFY_LOOP PACKET_SOCK_ERROR VXLAN_VNI_NOT_FOUND VXLAN_ENTRY_EXISTS VXLAN_NO_REMOTE NO_TX_TARGET "
            "IP_TUNNEL_ECN TUNNEL_TXINFO ARP_PVLAN_DISABLE MAC_IEEE_MAC_CONTROL BRIDGE_INGRESS_STP_STATE "
            "CAN_RX_INVALID_FRAME CANFD_RX_INVALID_FRAME CANXL_RX_INVALID_FRAME PSP_INPUT PSP_OUTPUT RECURSION_LIMIT"
        ),
    ),
)
_CLASS_OF = {name: kind for kind, names in _WORDS for name in names.split()}
_OF_TEARDOWN, _OF_NO_PACKETS = frozenset(_TEARDOWN.split()), frozenset(_ALSO_NO_PACKETS.split())
_ENDINGS = (("_CSUM", ReasonClass.BAD_PACKET),)
_BEGINNINGS = (
    ("TCP_MD5", ReasonClass.BAD_PACKET),
    ("TCP_AO", ReasonClass.BAD_PACKET),
    ("IPV6_NDISC_", ReasonClass.BAD_PACKET),
    ("FQ_", ReasonClass.RATE_LIMIT),
)


class Reasons(msgspec.Struct, frozen=True):
    """Reasons by the slot in which `drops.c` counts them; the last slot is for unknown reasons."""

    names: tuple[str, ...]
    core: int
    """For reasons below this the slot is the number itself."""
    subsystems: dict[int, int]
    """The slots of other reasons, by number."""
    no_drops: tuple[int, ...]
    """Numbers that mean that no packet was dropped."""

    @property
    def unknown(self) -> int:
        """The slot of unknown reasons."""
        return len(self.names) - 1

    def name(self, number: int) -> str:
        """Return the name of a reason by the kernel's number; `unknown` if it has no name."""
        return self.names[number if number < self.core else self.subsystems.get(number, self.unknown)]


def read_reasons(btf: Btf) -> Reasons | None:
    """Return the kernel's reasons; None if it has none (before 5.17)."""
    core = btf.enumerators("skb_drop_reason")
    if not core:
        return None
    by_number = {number: name for name, number in core.items() if 0 <= number < 1 << _SUBSYSTEM_SHIFT}
    by_number.pop(core.get(f"{_PREFIX}MAX", -1), None)
    others: dict[int, str] = {}
    for enum_name in btf.enum_names(_SUFFIX):
        for name, number in btf.enumerators(enum_name).items():
            unsigned = number & 0xFFFFFFFF
            if 1 << _SUBSYSTEM_SHIFT <= unsigned < 0xFFFF0000:
                others.setdefault(unsigned, name)
    return arrange(by_number, others)


def arrange(core: Mapping[int, str], others: Mapping[int, str]) -> Reasons:
    """Assign slots to reasons, given as names by number, with or without the kernel's prefix; `core` is not empty."""
    size = max(core) + 1
    names = [core.get(number, UNKNOWN).removeprefix(_PREFIX) for number in range(size)]
    slots = {number: slot for slot, number in enumerate(others, size)}
    no_drops = tuple(number for number, name in core.items() if name in _NO_DROPS)
    return Reasons((*names, *others.values(), UNKNOWN), size, slots, no_drops)


def class_of(name: str) -> ReasonClass:
    """Return the class of a reason by its name; unknown names of later kernels are OTHER."""
    if name in _CLASS_OF:
        return _CLASS_OF[name]
    for ending, kind in _ENDINGS:
        if name.endswith(ending):
            return kind
    return next((kind for beginning, kind in _BEGINNINGS if name.startswith(beginning)), ReasonClass.OTHER)


def fate(name: str, *, has_protocol: bool, was_queued: bool = False) -> Fate:
    """Return what became of a buffer, by its reason and whether it has a network header or a protocol.

    Reasons of later kernels count as drops where the buffer has either. `was_queued`: it was in a socket's queue, where
    the kernel keeps no device with it.
    """
    if name in _OF_TEARDOWN or (was_queued and name in UNNAMED):
        return Fate.TEARDOWN
    return Fate.DROPPED if has_protocol or is_of_packets(name) else Fate.NO_PACKET


def is_of_packets(name: str) -> bool:
    """Whether only packets have this reason, also before their header is in place."""
    return is_judged(name) and name not in _OF_NO_PACKETS and name not in _OF_TEARDOWN


def is_judged(name: str) -> bool:
    """Whether the tables know the reason."""
    is_by_pattern = name not in _CLASS_OF and class_of(name) is not ReasonClass.OTHER
    return name in _CLASS_OF or name in _OF_TEARDOWN or is_by_pattern


def label_pattern(kind: ReasonClass) -> str:
    """Return a regular expression that matches the whole names of a class; of OTHER those that are judged."""
    names = [name for name, of in _CLASS_OF.items() if of is kind]
    names += [f".*{ending}" for ending, of in _ENDINGS if of is kind]
    names += [f"{beginning}.*" for beginning, of in _BEGINNINGS if of is kind]
    return "|".join(names)
