"""Finds out which versions of nft(8) made the tables of this network namespace, from the user data that they leave.

Older versions crash on some of it: nft 1.0.6 on nearly every set that 1.1.3 made. That does not concern the daemon,
which reads no set but its own, but people and programs that use an older nft on this node. User data is a list of
type, length and value, one byte each for the former; names and numbers are those of libnftnl/udata.h.
"""

import sys
from collections.abc import Iterator

import msgspec

from monitor.enforcers.netlink import GET_SET, GET_TABLE, NLM_F_REQUEST, NetlinkRequest, attributes, nfgen_header
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.errors import NodewardenError

_MAX_SETS = 4096
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_TABLE_VERSION = 1  # NFTNL_UDATA_TABLE_NFTVER
_SET_KEY_TYPEOF, _TYPEOF_EXPRESSION = 3, 0  # NFTNL_UDATA_SET_KEY_TYPEOF, NFTNL_UDATA_SET_TYPEOF_EXPR
_PLAIN_TYPE = 4  # EXPR_VALUE of nft: the key is of a type like ipv4_addr


class Writers(msgspec.Struct, frozen=True):
    """What is known of them."""

    newest: str = ""
    """The newest version, like `1.1.7`, or `1.1 or later`; empty if nothing tells."""
    crashing: str = ""
    """A set that versions before 1.1 may crash on, like `set ip filter a`; empty if none was found."""


def read_writers() -> Writers:
    """Read all tables, and the first 4,096 sets; nothing is known of what cannot be read."""
    newest: tuple[int, ...] = ()
    crashing = ""
    try:
        for body in _dump(GET_TABLE):
            newest = max(newest, table_version(dict(attributes(body, 4)).get(6, b"")))
        for body, _ in zip(_dump(GET_SET), range(_MAX_SETS), strict=False):
            fields = dict(attributes(body, 4))
            if has_plain_type(fields.get(13, b"")):
                crashing = (
                    f"set {_FAMILIES.get(body[0], body[0])} {_text(fields.get(1, b''))} {_text(fields.get(2, b''))}"
                )
                break
    except (NodewardenError, OSError):
        return Writers()
    if newest:
        return Writers(".".join(map(str, newest)), crashing)
    return Writers("1.1 or later" if crashing else "", crashing)


def table_version(userdata: bytes) -> tuple[int, ...]:
    """Return the version in the user data of a table, which nft writes since 1.1.4 or so; empty if there is none."""
    version = dict(_entries(userdata)).get(_TABLE_VERSION, b"")
    return tuple(version[:3]) if len(version) >= 3 else ()


def has_plain_type(userdata: bytes) -> bool:
    """Whether the user data of a set says that its key is of a plain type: versions before 1.1 may crash on that."""
    key = dict(_entries(dict(_entries(userdata)).get(_SET_KEY_TYPEOF, b"")))
    return key.get(_TYPEOF_EXPRESSION) == _PLAIN_TYPE.to_bytes(4, sys.byteorder)


def _entries(userdata: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each entry; anybody may have written it, so what is cut off ends the list."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, size = userdata[offset], userdata[offset + 1]
        if offset + 2 + size > len(userdata):
            return
        yield kind, userdata[offset + 2 : offset + 2 + size]
        offset += 2 + size


def _dump(kind: int) -> Iterator[bytes]:
    link = NetlinkSocket()
    try:
        for reply in link.dump(NetlinkRequest(kind, NLM_F_REQUEST, nfgen_header(0))):
            yield reply.body
    finally:
        link.close()


def _text(name: bytes) -> str:
    """Return a name for people, who read it on a terminal: whoever made the set chose its bytes."""
    text = name.rstrip(b"\0").decode("ascii", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)
