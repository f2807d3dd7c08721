"""ctnetlink messages about connections: where the fields are in one message, found by a walk over its attributes; pure.

Numbers and names are those of linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h. Message and
attribute headers are in host order, payloads in network order. The walk trusts nothing: wrong lengths are malformed,
unknown attributes and those that are not used (helper, labels, security context, sequence adjustment, SYN proxy,
master, timeout, use) are skipped by their headers.
"""

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from monitor.model.errors import MalformedRecord
from monitor.model.flows import Flow, FlowClosed, FlowEstablished, FlowListed, FlowOpened, FlowReset
from monitor.model.protocols import ESTABLISHED_STATES, PROTOCOL_TCP, STATUS_SEEN_REPLY, TCP_CLOSE

CAUSES = ("header", "attribute", "length", "tuple")
"""Every cause a MalformedRecord of this module can carry: no message about a connection; an attribute that does not fit
where it is; a known attribute of a wrong length; no whole pair of tuples."""

NEW, DELETE = 0x100, 0x102  # NFNL_SUBSYS_CTNETLINK with IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_DELETE
NLM_F_MULTI, NLM_F_DUMP_INTR = 0x2, 0x10
_NLM_F_CREATE = 0x400
NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
HEADER_BYTES = 16
_BODY = HEADER_BYTES + 4  # after struct nfgenmsg

_header = struct.Struct("=IHH").unpack_from
_attribute = struct.Struct("=HH").unpack_from
_NLA_TYPE_MASK = 0x3FFF

FIELDS = Flow.__struct_fields__[2:]
"""What a message can say, in the order of the event's fields; the first two are the caller's."""
_OPTIONAL = dict(zip(FIELDS[-len(Flow.__struct_defaults__) :], Flow.__struct_defaults__, strict=True))
DEFAULTS = tuple(_OPTIONAL.get(name) for name in FIELDS)
_REQUIRED = ("source", "destination", "protocol", "real_destination", "translated_source")

Field: TypeAlias = tuple[str, str, int]
"""A field's name, the struct format of its payload, and the payload's length in bytes."""


class Nest(msgspec.Struct, frozen=True):
    """What is known of the attributes at one level, by type: a field, or a level of its own."""

    known: dict[int, "Field | Nest"]


def _byte(name: str) -> Field:
    return name, "B", 1


def _short(name: str) -> Field:
    return name, "H", 2


def _long(name: str) -> Field:
    return name, "I", 4


def _huge(name: str) -> Field:
    return name, "Q", 8


def _tuple(source: str, destination: str, zone: str, numbers: dict[int, Field]) -> Nest:
    addresses: dict[int, Field | Nest] = {
        1: (source, "4s", 4),  # CTA_IP_V4_SRC
        2: (destination, "4s", 4),
        3: (source, "16s", 16),  # CTA_IP_V6_SRC
        4: (destination, "16s", 16),
    }
    ports = {2: _short(f"{source}_port"), 3: _short(f"{destination}_port")}
    return Nest({1: Nest(addresses), 2: Nest({**ports, **numbers}), 3: _short(zone)})


_ICMP = {4: _short("icmp_id"), 5: _byte("icmp_type"), 6: _byte("icmp_code")}
_ICMPV6 = {7: _short("icmp_id"), 8: _byte("icmp_type"), 9: _byte("icmp_code")}
_MESSAGE = Nest(
    {
        1: _tuple("source", "destination", "zone", {1: _byte("protocol"), **_ICMP, **_ICMPV6}),  # CTA_TUPLE_ORIG
        2: _tuple("real_destination", "translated_source", "reply_zone", {}),  # CTA_TUPLE_REPLY
        3: _long("status"),
        4: Nest({1: Nest({1: _byte("state")}), 2: Nest({1: _byte("state")}), 3: Nest({1: _byte("state")})}),
        8: _long("mark"),
        9: Nest({1: _huge("original_packets"), 2: _huge("original_bytes")}),  # CTA_COUNTERS_ORIG
        10: Nest({1: _huge("reply_packets"), 2: _huge("reply_bytes")}),
        12: _long("id"),
        18: _short("zone"),
        20: Nest({1: _huge("start_ns"), 2: _huge("stop_ns")}),  # CTA_TIMESTAMP
        27: _huge("event_ns"),  # CTA_TIMESTAMP_EVENT
    }
)


class Walked(msgspec.Struct, frozen=True):
    """Where things are in a message: everything that the walk decided by, and what it found."""

    kind: type[Flow] | None
    """The event's class; None for an update, which is one only if it shows a handshake or a reset."""
    headers: list[tuple[int, int]]
    """(offset, length in bytes) of all bytes that the walk read; a message that equals them is walked alike."""
    fields: dict[str, tuple[int, str]]
    """Offset and struct format by name."""


def walk(message: bytes) -> Walked:
    """Find the fields of one message (as long as its header says); MalformedRecord with one of CAUSES."""
    if len(message) < _BODY:
        raise MalformedRecord("header")
    length, kind, flags = _header(message)
    if length != len(message) or kind not in (NEW, DELETE):
        raise MalformedRecord("header")
    walked = Walked(_kind(kind, flags), [(0, 8)], {})
    _walk(message, _BODY, length, _MESSAGE, walked)
    fields = walked.fields
    if any(name not in fields for name in _REQUIRED):
        raise MalformedRecord("tuple")
    if len({fields[name][1] for name in _REQUIRED if name != "protocol"}) > 1:
        raise MalformedRecord("tuple", "two families")
    return walked


def _kind(kind: int, flags: int) -> type[Flow] | None:
    if kind == DELETE:
        return FlowClosed
    if flags & NLM_F_MULTI:
        return FlowListed
    return FlowOpened if flags & _NLM_F_CREATE else None


def _walk(message: bytes, offset: int, end: int, nest: Nest, walked: Walked) -> None:
    """Walk over the attributes between two offsets; goes as deep as `nest` is known to, never deeper."""
    while offset + 4 <= end:
        length, kind = _attribute(message, offset)
        if length < 4 or length > end - offset:
            raise MalformedRecord("attribute")
        walked.headers.append((offset, 4))
        known = nest.known.get(kind & _NLA_TYPE_MASK)
        if isinstance(known, Nest):
            _walk(message, offset + 4, offset + length, known, walked)
        elif known is not None:
            name, form, size = known
            if length != 4 + size:
                raise MalformedRecord("length", name)
            walked.fields[name] = (offset + 4, form)
        offset += length + 3 & ~3


def read(message: bytes, walked: Walked, time_s: float, namespace: int | None) -> Flow | None:
    """Make the event of a message that was walked; None for an update that shows neither handshake nor reset."""
    values: dict[str, Any] = {
        name: struct.unpack_from(f">{form}", message, offset)[0] for name, (offset, form) in walked.fields.items()
    }
    make: Callable[..., Flow] | None = walked.kind
    if make is None:
        make = update_kind(values["protocol"], values.get("status", 0), values.get("state"))
    if make is None:
        return None
    return make(time_s, namespace, *(values.get(name, default) for name, default in zip(FIELDS, DEFAULTS, strict=True)))


def update_kind(protocol: int, status: int, state: int | None) -> Callable[..., Flow] | None:
    """Return the class of an update: a complete handshake, a reset; None for all others."""
    if not status & STATUS_SEEN_REPLY:
        return None
    if state in ESTABLISHED_STATES.get(protocol, ()):
        return FlowEstablished
    return FlowReset if protocol == PROTOCOL_TCP and state == TCP_CLOSE else None
