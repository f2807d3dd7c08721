"""Selects and decodes the notifications of nf_tables about our table; pure.

The kernel notifies every listener of NFNLGRP_NFTABLES of every change of every table (nf_tables_commit in
net/netfilter/nf_tables_api.c): first all messages of a transaction, then one NFT_MSG_NEWGEN with the process that made
it. Elements that expire by their timeout are not reported (seen on 6.18). Numbers and names are those of
linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Container, Iterator

import msgspec

from monitor.enforcers.netlink import NFPROTO_INET, attributes
from monitor.enforcers.nftables.ruleset import TABLE
from monitor.model.errors import MalformedRecord

NEW_GENERATION = 10 << 8 | 15
DELETED_TABLE, NEW_ELEMENTS, DELETED_ELEMENTS = 10 << 8 | 2, 10 << 8 | 12, 10 << 8 | 14
RULES = frozenset(10 << 8 | kind for kind in (0, 3, 5, 6, 8, 9, 11, 18, 20))
"""NFT_MSG_NEW and NFT_MSG_DEL of CHAIN, RULE, SET and OBJ, and NFT_MSG_NEWTABLE: a dormant table drops nothing."""

_NAME = TABLE.encode() + b"\0"
# the name of the table, which is the first attribute (type 1) of every kind of message
_FIRST = struct.pack("=HH", 4 + len(_NAME), 1) + _NAME
_HEADER = struct.Struct("=IHHII")
_BE32 = struct.Struct(">I")


class ChangeAuthor(msgspec.Struct, frozen=True, gc=False):
    """The process that made a transaction; `pid` is the thread ID in the initial PID namespace."""

    name: str
    pid: int

    def __str__(self) -> str:
        """Return `NAME (pid PID)`."""
        return f"{self.name} (pid {self.pid})"


class Notice(msgspec.Struct, frozen=True, gc=False):
    """One message about our table, or the end of any transaction: `type`, and the body after the header."""

    type: int
    body: bytes


def notices(datagram: bytes, own_ports: Container[int], *, with_ends: bool) -> Iterator[Notice]:
    """Yield messages about our table from other programs; `with_ends`: and ends of transactions of earlier datagrams.

    A datagram without the name of our table costs one search. MalformedRecord("netlink") on a wrong length.
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


def decode_author(body: bytes) -> ChangeAuthor | None:
    """Decode the process of an NFT_MSG_NEWGEN body; None if the kernel does not report it."""
    fields = dict(attributes(body, 4))
    if len(fields.get(2, b"")) != 4 or 3 not in fields:
        return None
    return ChangeAuthor(fields[3].rstrip(b"\0").decode("utf-8", "replace"), _BE32.unpack(fields[2])[0])


def decode_set_name(body: bytes) -> str:
    """Decode the name of the set in the body of an element message; empty if there is none."""
    return dict(attributes(body, 4)).get(2, b"").rstrip(b"\0").decode("ascii", "replace")
