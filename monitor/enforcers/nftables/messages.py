"""Encodes requests for the table itself, and for its chains, rules, sets and counters; pure.

Names and numbers are those of linux/netfilter/nf_tables.h. Sets carry no user data: other versions of nft(8) than the
one that wrote it crash on it (nft 1.0.6 on what 1.1.3 writes). The comment of a table is user data too, but of a kind
that every version skips if it does not know it.
"""

import enum

from monitor.enforcers.netlink import (
    DEL_TABLE,
    GET_OBJECT,
    GET_SET,
    GET_TABLE,
    NFPROTO_INET,
    NFTABLES,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    OBJECT_COUNTER,
    NetlinkRequest,
    attribute,
    nfgen_header,
    string_attribute,
)
from monitor.enforcers.nftables.chains import Chain, Part
from monitor.enforcers.nftables.expressions import expression
from monitor.enforcers.nftables.ruleset import SetSpec
from monitor.enforcers.protocol import Stopped

NEW_TABLE, NEW_CHAIN, NEW_RULE, DEL_RULE, NEW_SET, NEW_OBJECT = (NFTABLES | n for n in (0, 3, 6, 8, 9, 18))
DEL_CHAIN, DEL_SET, DEL_OBJECT = (NFTABLES | n for n in (5, 11, 20))
_NLM_F_APPEND = 0x800
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3}  # NF_INET_*
_INET_PROTO_TYPE, _SERVICE_TYPE, _TYPE_BITS = 12, 13, 6
"""inet_proto and inet_service of nft(8), and how far the types of a key that has several are apart."""
_POLICY_ACCEPT = 1  # NF_ACCEPT
_KEY_TYPES = {1: 2, 4: 7, 16: 8}
"""By length in bytes: nf_proto, ipv4_addr and ipv6_addr of nft(8); the kernel only keeps the number."""
_MAX_COMMENT_BYTES = 128


class _SetFlag(enum.IntFlag):
    INTERVAL = 0x4
    TIMEOUT = 0x10
    EVAL = 0x20


def get_table(table: str) -> NetlinkRequest:
    """Request a table of family inet."""
    return NetlinkRequest(GET_TABLE, NLM_F_REQUEST, nfgen_header(NFPROTO_INET) + string_attribute(1, table))


def delete_table(table: str) -> NetlinkRequest:
    """Delete a table of family inet with its content."""
    return NetlinkRequest(DEL_TABLE, NLM_F_REQUEST, nfgen_header(NFPROTO_INET) + string_attribute(1, table))


def get_set(table: str, name: str) -> NetlinkRequest:
    """Request the definition of a set (not its elements)."""
    return NetlinkRequest(
        GET_SET, NLM_F_REQUEST, nfgen_header(NFPROTO_INET) + string_attribute(1, table) + string_attribute(2, name)
    )


def get_counter(table: str, name: str) -> NetlinkRequest:
    """Request one named counter."""
    names = string_attribute(1, table) + string_attribute(2, name)
    body = nfgen_header(NFPROTO_INET) + names + _number(3, OBJECT_COUNTER)
    return NetlinkRequest(GET_OBJECT, NLM_F_REQUEST, body)


def new_table(table: str, comment: str) -> NetlinkRequest:
    """Create a table; an existing one keeps its comment, and is woken up if another program made it dormant."""
    # NFTA_TABLE_USERDATA with NFTNL_UDATA_TABLE_COMMENT: type and length are one byte each
    text = comment.encode() + b"\0"
    if len(text) > _MAX_COMMENT_BYTES:
        raise ValueError(f"a comment of {len(text)} bytes")
    flags = _number(2, 0)
    return _create(NEW_TABLE, string_attribute(1, table), flags, attribute(6, bytes([0, len(text)]) + text))


def new_chain(table: str, chain: Chain) -> NetlinkRequest:
    """Create a chain, one at a hook with policy accept; an existing one stays, with its rules."""
    names = (string_attribute(1, table), string_attribute(3, chain.name))
    if not chain.hook:
        return _create(NEW_CHAIN, *names)
    hook = _number(1, _HOOKS[chain.hook]) + attribute(2, chain.priority.to_bytes(4, signed=True))
    return _create(
        NEW_CHAIN,
        *names,
        attribute(4, hook, nested=True),
        _number(5, _POLICY_ACCEPT),
        string_attribute(7, "filter"),
    )


def delete_chain(table: str, chain: str) -> NetlinkRequest:
    """Delete a chain without rules that no rule leads to."""
    body = nfgen_header(NFPROTO_INET) + string_attribute(1, table) + string_attribute(3, chain)
    return NetlinkRequest(DEL_CHAIN, NLM_F_REQUEST, body)


def delete_rules(table: str, chain: str) -> NetlinkRequest:
    """Delete all rules of a chain."""
    body = nfgen_header(NFPROTO_INET) + string_attribute(1, table) + string_attribute(2, chain)
    return NetlinkRequest(DEL_RULE, NLM_F_REQUEST, body)


def delete_set(table: str, name: str) -> NetlinkRequest:
    """Delete a set that no rule uses, with its elements."""
    body = nfgen_header(NFPROTO_INET) + string_attribute(1, table) + string_attribute(2, name)
    return NetlinkRequest(DEL_SET, NLM_F_REQUEST, body)


def delete_counter(table: str, name: str) -> NetlinkRequest:
    """Delete a named counter that no rule uses."""
    names = string_attribute(1, table) + string_attribute(2, name)
    return NetlinkRequest(DEL_OBJECT, NLM_F_REQUEST, nfgen_header(NFPROTO_INET) + names + _number(3, OBJECT_COUNTER))


def new_rule(table: str, chain: str, rule: Part) -> NetlinkRequest:
    """Append a rule."""
    parts = (string_attribute(1, table), string_attribute(2, chain), attribute(4, rule.expressions, nested=True))
    return _create(NEW_RULE, *parts, flags=_NLM_F_APPEND)


def new_set(table: str, name: str, spec: SetSpec, number: int) -> NetlinkRequest:
    """Create a set; `number` is unique in the transaction. EEXIST if there is one with another definition."""
    flags = _SetFlag(0)
    if spec.interval:
        flags |= _SetFlag.INTERVAL
    if spec.has_timeouts:
        flags |= _SetFlag.TIMEOUT
    if spec.dynamic:
        flags |= _SetFlag.EVAL
    parts = [string_attribute(1, table), string_attribute(2, name), _number(3, flags)]
    parts += [_number(4, _key_type(spec)), _number(5, spec.key_bytes)]
    if spec.size:
        parts.append(attribute(9, _number(1, spec.size), nested=True))  # NFTA_SET_DESC, NFTA_SET_DESC_SIZE
    parts.append(_number(10, number))
    if spec.default_timeout_ms:
        parts.append(attribute(11, spec.default_timeout_ms.to_bytes(8)))
    if spec.counts:
        parts.append(expression("counter", kind=17))  # NFTA_SET_EXPR
    return _create(NEW_SET, *parts)


def _key_type(spec: SetSpec) -> int:
    if not spec.has_ports:
        return _KEY_TYPES[spec.key_bytes]
    address = _KEY_TYPES[spec.key_bytes - 8]
    return (address << _TYPE_BITS | _INET_PROTO_TYPE) << _TYPE_BITS | _SERVICE_TYPE


def new_counter(table: str, name: str, start: Stopped) -> NetlinkRequest:
    """Create a named counter with these values; an existing one keeps its own."""
    values = attribute(1, start.bytes.to_bytes(8)) + attribute(2, start.packets.to_bytes(8))
    names = string_attribute(1, table) + string_attribute(2, name)
    return _create(NEW_OBJECT, names, _number(3, OBJECT_COUNTER), attribute(4, values, nested=True))


def _create(kind: int, *attributes: bytes, flags: int = 0) -> NetlinkRequest:
    body = nfgen_header(NFPROTO_INET) + b"".join(attributes)
    return NetlinkRequest(kind, NLM_F_REQUEST | NLM_F_CREATE | flags, body)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4))
