"""Encodes and decodes ctnetlink messages that list and delete entries of the connection table; pure.

Numbers and names are those of linux/netfilter/nfnetlink_conntrack.h; attribute payloads are in network order, except
the flags of CTA_FILTER. An entry has two tuples: that of the original direction and that of its replies.
"""

import enum
import socket
import struct
from collections.abc import Callable

import msgspec

from monitor.enforcers.netlink import NLM_F_REQUEST, NetlinkRequest, attribute, attributes
from monitor.model.addresses import Address

_CONNTRACK = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE, _GET_STATS = (_CONNTRACK | n for n in (1, 2, 5))
_ID, _ZONE, _FILTER = 12, 18, 25  # CTA_ID, CTA_ZONE, CTA_FILTER
_GLOBAL_ENTRIES = 1  # CTA_STATS_GLOBAL_ENTRIES
_GENERIC_BYTES = 4  # struct nfgenmsg
_IP_SOURCE = 1  # CTA_FILTER_F_CTA_IP_SRC, net/netfilter/nf_conntrack_core.h
_ATTRIBUTE = struct.Struct("=HH")
_SOURCE_HEADERS = {4: _ATTRIBUTE.pack(8, 1), 16: _ATTRIBUTE.pack(20, 3)}  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_INET = bytes([socket.AF_INET])
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}


class Direction(enum.IntEnum):
    """The tuple of an entry: CTA_TUPLE_ORIG or CTA_TUPLE_REPLY."""

    ORIGINAL = 1
    REPLY = 2


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry: the source of its original tuple, and the attributes that identify it for a deletion."""

    source: Address
    identity: bytes
    """Attributes: the original tuple, the zone if any, and the kernel's ID of the entry."""


def get_statistics() -> NetlinkRequest:
    """Request the number of entries, which every kernel with ctnetlink answers."""
    return NetlinkRequest(_GET_STATS, NLM_F_REQUEST, bytes(4))


def decode_statistics(body: bytes) -> int:
    """Return the number of entries in the network namespace."""
    found = dict(attributes(body, _GENERIC_BYTES)).get(_GLOBAL_ENTRIES, b"")
    return int.from_bytes(found, "big")


def list_family(size: int) -> NetlinkRequest:
    """List the entries of one family, given by the length of its addresses in bytes."""
    return NetlinkRequest(_GET, NLM_F_REQUEST, bytes([_FAMILIES[size], 0, 0, 0]))


def list_from(address: Address, direction: Direction) -> NetlinkRequest:
    """List the entries with this IPv4 source (CTA_FILTER); kernels before 5.8 list the whole family instead.

    Not for IPv6: there the kernel's filter is inverted (seen on 6.18) and lists all entries except the requested ones.
    For the same reason entries are never deleted by filter: deleting one IPv6 address would delete all others.
    """
    source = attribute(1, attribute(1, address), nested=True)  # CTA_TUPLE_IP, CTA_IP_V4_SRC
    # CTA_FILTER_ORIG_FLAGS (1) and CTA_FILTER_REPLY_FLAGS (2)
    flags = b"".join(attribute(d, struct.pack("=I", _IP_SOURCE if d is direction else 0)) for d in Direction)
    tuple_ = attribute(direction, source, nested=True)
    return NetlinkRequest(
        _GET, NLM_F_REQUEST, bytes([socket.AF_INET, 0, 0, 0]) + tuple_ + attribute(_FILTER, flags, nested=True)
    )


def delete_entry(entry: Entry) -> NetlinkRequest:
    """Delete one entry by its whole tuple: a delete without a tuple flushes the whole table."""
    return NetlinkRequest(_DELETE, NLM_F_REQUEST, bytes([_FAMILIES[len(entry.source)], 0, 0, 0]) + entry.identity)


def decode_entry(body: bytes, wanted: Callable[[Address], bool]) -> Entry | None:
    """Decode an entry of a listing if one of its sources is `wanted`; None for other and for malformed entries.

    The kernel writes both tuples first, each starting with the addresses, so the sources are at known offsets.
    """
    size = 4 if body[:1] == _INET else 16
    source = _source(body, 4, size)
    if source is None:
        return None
    second = 4 + (_ATTRIBUTE.unpack_from(body, 4)[0] + 3 & ~3)
    reply_source = _source(body, second, size)
    if reply_source is None or not (wanted(source) or wanted(reply_source)):
        return None
    return Entry(source, body[4:second] + _identity(body, second))


def _source(body: bytes, offset: int, size: int) -> Address | None:
    """Return the source in the tuple at `offset`: after its header and that of CTA_TUPLE_IP."""
    if not body.startswith(_SOURCE_HEADERS[size], offset + 8) or len(body) < offset + 12 + size:
        return None
    return body[offset + 12 : offset + 12 + size]


def _identity(body: bytes, offset: int) -> bytes:
    found = b""
    while offset + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        if kind in (_ID, _ZONE):
            found += body[offset : offset + (length + 3 & ~3)]
        offset += length + 3 & ~3
    return found
