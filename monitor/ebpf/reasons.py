"""Drop reasons by their names in the running kernel's BTF, because the numbers are not stable. Pure."""

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


_WORDS = (
    (ReasonClass.FIREWALL, "NETFILTER_DROP XDP TC_INGRESS TC_EGRESS BPF_CGROUP_EGRESS SOCKET_FILTER SECURITY_HOOK"),
    (ReasonClass.CLOSED_PORT, "NO_SOCKET SOCKET_CLOSE IP_NOPROTO TCP_CLOSE"),
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
)
_CLASS_OF = {name: kind for kind, names in _WORDS for name in names.split()}
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


def label_pattern(kind: ReasonClass) -> str:
    """Return a regular expression that matches the whole names of a class; empty for OTHER, which has none."""
    names = [name for name, of in _CLASS_OF.items() if of is kind]
    names += [f".*{ending}" for ending, of in _ENDINGS if of is kind]
    names += [f"{beginning}.*" for beginning, of in _BEGINNINGS if of is kind]
    return "|".join(names)
