"""Encodes what a rule consists of: the expressions of nf_tables; pure.

An expression loads something of the packet into a register, compares or looks up the register, or acts. Every
expression here uses register 1, or for keys of several parts words from its start; register 0 is the verdict. Names
and numbers are those of linux/netfilter/nf_tables.h. Numbers in attributes are in network order; values that are
compared have the order in which the kernel keeps them in a register.
"""

import enum
import struct

from monitor.enforcers.netlink import attribute, string_attribute

_VERDICT, _REGISTER = 0, 1  # NFT_REG_VERDICT, NFT_REG_1
FIRST_WORD = 8
"""NFT_REG32_00: the first four bytes of register 1, whose further words follow."""
_LIST_ELEMENT = 1  # NFTA_LIST_ELEM
_GOTO = -4  # NFT_GOTO
_LIMIT_PACKETS, _LIMIT_INVERTED = 0, 1  # NFT_LIMIT_PKTS, NFT_LIMIT_F_INV
_ADMIN_PROHIBITED = 3  # NFT_REJECT_ICMPX_ADMIN_PROHIBITED
_HOST_ORDER = struct.Struct("=I")


class Meta(enum.IntEnum):
    """What is known of a packet without reading it: enum nft_meta_keys."""

    INPUT_INTERFACE = 6
    OUTPUT_INTERFACE = 7
    FAMILY = 15
    L4PROTO = 16


class Tracked(enum.IntEnum):
    """What connection tracking knows of a packet: enum nft_ct_keys."""

    STATE = 0
    DIRECTION = 1
    FLOW_STATUS = 2


class Header(enum.IntEnum):
    """From where an offset in the packet counts: enum nft_payload_bases."""

    NETWORK = 1
    TRANSPORT = 2


class Refusal(enum.IntEnum):
    """With what a packet is refused: enum nft_reject_types."""

    RESET = 1
    UNREACHABLE = 2


class Verdict(enum.IntEnum):
    """What becomes of the packet: NF_DROP and NF_ACCEPT."""

    DROP = 0
    ACCEPT = 1


def meta(key: Meta, register: int = _REGISTER) -> bytes:
    """Load a property of the packet."""
    return expression("meta", _number(2, key), _number(1, register))


def tracked(key: Tracked) -> bytes:
    """Load what connection tracking knows of the packet; the rule ends here if it knows nothing."""
    return expression("ct", _number(2, key), _number(1, _REGISTER))


def payload(header: Header, offset_bytes: int, size_bytes: int, register: int = _REGISTER) -> bytes:
    """Load bytes of the packet; the rule ends here if it is shorter."""
    fields = (_number(1, register), _number(2, header), _number(3, offset_bytes), _number(4, size_bytes))
    return expression("payload", *fields)


def equal(value: bytes) -> bytes:
    """Continue if the register equals `value`."""
    return _compare(0, value)


def unequal(value: bytes) -> bytes:
    """Continue if the register differs from `value`."""
    return _compare(1, value)


def masked(mask: bytes) -> bytes:
    """Keep only the bits of `mask` in the register."""
    sizes = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, len(mask))
    return expression("bitwise", sizes, _data(4, mask), _data(5, bytes(len(mask))))


def in_set(name: str) -> bytes:
    """Continue if the register is in this set."""
    return expression("lookup", _number(2, _REGISTER), string_attribute(1, name))


def note_in(name: str) -> bytes:
    """Add the register to this set, or start the time of its element again."""
    return expression("dynset", _number(4, _REGISTER), _number(3, 1), string_attribute(1, name))


def count_in(counter: str) -> bytes:
    """Count the packet in this named counter."""
    return expression("objref", _number(1, 1), attribute(2, counter.encode()))


def verdict(code: Verdict) -> bytes:
    """End with this verdict."""
    return expression(
        "immediate", _number(1, _VERDICT), attribute(2, attribute(2, _number(1, code), nested=True), nested=True)
    )


def continue_in(chain: str) -> bytes:
    """Continue in another chain, and do not come back."""
    target = attribute(1, _GOTO.to_bytes(4, signed=True)) + string_attribute(2, chain)
    return expression("immediate", _number(1, _VERDICT), attribute(2, attribute(2, target, nested=True), nested=True))


def beyond(rate_per_s: int, burst: int) -> bytes:
    """Continue if more packets than this came here: `rate_per_s`, after `burst` at once."""
    amounts = attribute(1, rate_per_s.to_bytes(8)) + attribute(2, (1).to_bytes(8)) + _number(3, burst)
    return expression("limit", amounts, _number(4, _LIMIT_PACKETS), _number(5, _LIMIT_INVERTED))


def refuse(kind: Refusal) -> bytes:
    """End with a drop after an answer: a TCP reset, or that it is prohibited by an administrator."""
    return expression("reject", _number(1, kind), attribute(2, bytes([_ADMIN_PROHIBITED])))


def host_order(value: int) -> bytes:
    """Encode a 32-bit number as the kernel keeps it in a register."""
    return _HOST_ORDER.pack(value)


def expression(name: str, *fields: bytes, kind: int = _LIST_ELEMENT) -> bytes:
    """Encode one expression, as an element of a list or (`kind`) as another attribute."""
    return attribute(kind, string_attribute(1, name) + attribute(2, b"".join(fields), nested=True), nested=True)


def _compare(operation: int, value: bytes) -> bytes:
    return expression("cmp", _number(1, _REGISTER), _number(2, operation), _data(3, value))


def _data(kind: int, value: bytes) -> bytes:
    return attribute(kind, attribute(1, value), nested=True)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4))
