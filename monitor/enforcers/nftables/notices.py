"""Notices of nf_tables about our table, as bytes: which to look at, and what they say; pure.

The kernel tells every listener of NFNLGRP_NFTABLES about every change of every table (nf_tables_commit in
net/netfilter/nf_tables_api.c): first all messages of a transaction, then one NFT_MSG_NEWGEN with who made it. Elements
that end by their timeout are not told (seen on 6.18). Numbers and names are those of linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Container, Iterator

import msgspec

from monitor.enforcers.netlink import NFPROTO_INET, attributes
from monitor.enforcers.nftables.ruleset import TABLE
from monitor.model.errors import MalformedRecord

NEW_GENERATION = 10 << 8 | 15
DELETED_TABLE, NEW_ELEMENTS, DELETED_ELEMENTS = 10 << 8 | 2, 10 << 8 | 12, 10 << 8 | 14
RULES = frozenset(10 << 8 | kind for kind in (3, 5, 6, 8, 9, 11, 18, 20))
"""NFT_MSG_NEW and NFT_MSG_DEL of CHAIN, RULE, SET and OBJ."""

_NAME = TABLE.encode() + b"\0"
# the table's name, which is the first attribute (type 1) of all kinds of message
_FIRST = struct.pack("=HH", 4 + len(_NAME), 1) + _NAME
_HEADER = struct.Struct("=IHHII")
_BE32 = struct.Struct(">I")


class Who(msgspec.Struct, frozen=True, gc=False):
    """The process behind a transaction; `pid` is that of its thread, as the initial pid namespace counts."""

    name: str
    pid: int


class Notice(msgspec.Struct, frozen=True, gc=False):
    """One message about our table, or the end of any transaction: `type`, and what follows the header."""

    type: int
    body: bytes


def notices(datagram: bytes, own_ports: Container[int], *, with_ends: bool) -> Iterator[Notice]:
    """Yield what others did to our table; `with_ends`: and the ends of transactions that began in earlier datagrams.

    A datagram without our table's name costs one search through it. MalformedRecord("netlink") on a wrong length.
    """
    if not with_ends and _FIRST not in datagram:
        return
    offset, size = 0, len(datagram)
    while offset < size:
        if size - offset < 20:
            raise MalformedRecord("netlink", f"{size - offset} stray bytes after a notice")
        length, kind, _, _, port = _HEADER.unpack_from(datagram, offset)
        if length < 20 or length > size - offset:
            raise MalformedRecord("netlink", f"notice of {length} bytes in {size - offset}")
        is_ours = datagram[offset + 16] == NFPROTO_INET and datagram.startswith(_FIRST, offset + 20)
        if (is_ours or kind == NEW_GENERATION) and port not in own_ports:
            yield Notice(kind, datagram[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def decode_who(body: bytes) -> Who | None:
    """Read the process of an NFT_MSG_NEWGEN body; None where the kernel does not say."""
    fields = dict(attributes(body, 4))
    if len(fields.get(2, b"")) != 4 or 3 not in fields:
        return None
    return Who(fields[3].rstrip(b"\0").decode("utf-8", "replace"), _BE32.unpack(fields[2])[0])


def decode_set_name(body: bytes) -> str:
    """Read the set's name of an element message's body; empty where there is none."""
    return dict(attributes(body, 4)).get(2, b"").rstrip(b"\0").decode("ascii", "replace")
