"""Reads what `drops.c` needs to know about the running kernel: offsets in structures, and drop reasons. Pure."""

import msgspec

from monitor.ebpf.btf import Btf
from monitor.ebpf.messages import KernelLacksError
from monitor.ebpf.reasons import Reasons, read_reasons

_FIELDS = {
    "SKB_LEN": ("sk_buff", "len", 4),
    "SKB_PKT_TYPE": ("sk_buff", "pkt_type", 1),
    "SKB_DEV": ("sk_buff", "dev", 8),
    "SKB_SK": ("sk_buff", "sk", 8),
    "SKB_IIF": ("sk_buff", "skb_iif", 4),
    "SKB_DST": ("sk_buff", "_skb_refdst", 8),
    "SKB_PROTOCOL": ("sk_buff", "protocol", 2),
    "SKB_NETWORK": ("sk_buff", "network_header", 2),
    "SKB_TAIL": ("sk_buff", "tail", 4),
    "SKB_HEAD": ("sk_buff", "head", 8),
    "DEV_NET": ("net_device", "nd_net.net", 8),
    "SOCK_NET": ("sock", "__sk_common.skc_net.net", 8),
    "NET_INUM": ("net", "ns.inum", 4),
    "DST_INPUT": ("dst_entry", "input", 8),
}
"""By macro: structure, member, size of the member in bytes."""
_TYPES = {f"TYPE_{name.upper()}": name for name in ("iphdr", "ipv6hdr", "udphdr", "tcphdr", "dst_entry")}
_CAST = "bpf_rdonly_cast"
_MAX_SKB_BYTES = 320
"""The maximum part of an sk_buff to read: a program has 512 bytes of stack."""


class Layout(msgspec.Struct, frozen=True):
    """Macros for the compiler, and the drop reasons by slot."""

    macros: dict[str, int]
    reasons: Reasons
    cast_function: int | None
    """The BTF ID of bpf_rdonly_cast, if the kernel has it and all types to cast to."""


def read_layout(btf: Btf) -> Layout:
    """Read the layout from the kernel's BTF; KernelLacksError says what this kernel lacks."""
    macros: dict[str, int] = {}
    skb_bytes = 0
    for macro, (struct, member, size) in _FIELDS.items():
        offset = btf.offset_bytes(struct, member)
        if offset is None:
            raise KernelLacksError(f"this kernel's {struct} has no member {member}")
        macros[macro] = offset
        if struct == "sk_buff":
            skb_bytes = max(skb_bytes, offset + size)
    if skb_bytes > _MAX_SKB_BYTES:
        raise KernelLacksError(f"the needed members of this kernel's sk_buff span {skb_bytes} bytes: too many")
    reasons = read_reasons(btf)
    if reasons is None:
        raise KernelLacksError("this kernel has no drop reasons (they exist since 5.17)")
    first, *others = reasons.no_drops or (0,)
    macros |= {
        "SKB_BYTES": skb_bytes + -skb_bytes % 8,
        "REASONS": len(reasons.names),
        "CORE_REASONS": reasons.core,
        "SUBSYSTEM_REASONS": max(1, len(reasons.subsystems)),
        "UNKNOWN_REASON": reasons.unknown,
        "NOT_DROPPED": first,
        "CONSUMED": others[0] if others else first,
    }
    types = {macro: btf.struct_id(name) for macro, name in _TYPES.items()}
    macros |= {macro: number for macro, number in types.items() if number is not None}
    return Layout(macros, reasons, btf.function_id(_CAST) if None not in types.values() else None)
