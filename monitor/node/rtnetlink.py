"""Queries the kernel's addresses, links, routes and nexthop objects.

rtnetlink(7) is used directly, because a library for it costs 19 MB of memory. Decoders are pure: they take bytes,
return values, and raise MalformedRecord for bytes that no kernel sends.
"""

import errno
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from monitor.model.addresses import Address, fold_mapped
from monitor.node.netlink_messages import (
    ACK,
    ATTRIBUTE,
    DONE,
    DUMP,
    ERROR,
    check_status,
    pack_request,
    split_attributes,
    split_messages,
)

_TIMEOUT_S = 5.0
_MAX_NEXTHOPS = 1024

_SOL_NETLINK, _GET_STRICT_CHK = 270, 12
# linux/rtnetlink.h, linux/nexthop.h
_NEWLINK, _GETLINK, _NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 16, 18, 20, 22, 24, 26
_NEWNEXTHOP, _GETNEXTHOP = 104, 106
_NHMSG_BYTES, _NHA_ID, _NHA_GROUP, _NHA_OIF, _NHA_GATEWAY = 8, 1, 2, 5, 6
_GROUP_MEMBER_BYTES = 8  # nexthop_grp
_UNICAST = 1  # RTN_UNICAST
_RTMSG_BYTES = 12
_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)  # enum members are slow to look up


class Hops(NamedTuple):
    """Where packets of a route leave: gateways, interfaces, and the nexthop objects that contain more of both."""

    gateways: list[Address]
    interfaces: list[int]
    nexthops: list[int]


def number_of(raw: bytes) -> list[int]:
    """Return the number of an attribute in host byte order; nothing if the attribute is missing."""
    return [int.from_bytes(raw, sys.byteorder)] if raw else []


def address_of(raw: bytes) -> Address | None:
    """Return the address; None if it is missing, all zero, or not an IP address."""
    return fold_mapped(raw) if len(raw) in (4, 16) and any(raw) else None


def nexthop(payload: bytes) -> Hops:
    """Return gateway and interface of a nexthop object (nhmsg), and the IDs of its members if it is a group."""
    attributes = split_attributes(payload[_NHMSG_BYTES:])
    group = attributes.get(_NHA_GROUP, b"")
    members = [
        int.from_bytes(group[at : at + 4], sys.byteorder) for at in range(0, len(group) - 7, _GROUP_MEMBER_BYTES)
    ]
    gateway = address_of(attributes.get(_NHA_GATEWAY, b""))
    return Hops([gateway] if gateway else [], number_of(attributes.get(_NHA_OIF, b"")), members)


class RouteQuery:
    """Queries the kernel; all queries together take at most `_TIMEOUT_S`."""

    def __init__(self) -> None:
        """Open a socket; needs no privilege. OSError if the kernel has no netlink."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sequence = 0
        self._until_s = time.monotonic() + _TIMEOUT_S
        try:  # since Linux 4.20: dumps are filtered by the header of the request
            self._socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
            self._is_strict = True
        except OSError:
            self._is_strict = False

    def __enter__(self) -> Self:
        """Return the query; the socket is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._socket.close()

    def addresses(self) -> Iterator[bytes]:
        """Yield the ifaddrmsg of each address of all interfaces."""
        for family in (_AF_INET, _AF_INET6):
            for data, start, end in self._ask(_GETADDR, DUMP, bytes([family]) + bytes(7), _NEWADDR):
                yield data[start:end]

    def links(self) -> Iterator[bytes]:
        """Yield the ifinfomsg of each interface."""
        for data, start, end in self._ask(_GETLINK, DUMP, bytes(16), _NEWLINK):
            yield data[start:end]

    def routes(self) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield prefix length, data, start and end of the rtmsg of each unicast route of all tables.

        The caller decides by the prefix length whether to decode more: 1,000,000 routes take about a second if it does
        not. The kernel leaves out exceptions of IPv6 routes (learned MTUs).
        """
        kind = _UNICAST if self._is_strict else 0
        for family in (_AF_INET, _AF_INET6):
            header = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, kind, 0)
            for data, start, end in self._ask(_GETROUTE, DUMP, header, _NEWROUTE):
                # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
                if end - start >= _RTMSG_BYTES and data[start + 7] == _UNICAST:
                    yield data[start + 1], data, start, end

    def nexthops(self, identities: Iterable[int]) -> dict[int, Hops]:
        """Return these nexthop objects and the members of groups, at most `_MAX_NEXTHOPS`.

        They are requested by ID, because there may be very many others.
        """
        wanted = list(identities)
        found: dict[int, Hops] = {}
        while wanted and len(found) < _MAX_NEXTHOPS:
            identity = wanted.pop()
            if identity in found:
                continue
            found[identity] = Hops([], [], [])
            request = bytes(_NHMSG_BYTES) + ATTRIBUTE.pack(8, _NHA_ID) + identity.to_bytes(4, sys.byteorder)
            try:
                for data, start, end in self._ask(_GETNEXTHOP, ACK, request, _NEWNEXTHOP):
                    found[identity] = nexthop(data[start:end])
                    wanted += found[identity].nexthops
            except OSError as error:
                if error.errno != errno.ENOENT:  # deleted since the route was read; a notification reports it
                    raise
        return found

    def _ask(self, kind: int, flags: int, body: bytes, answer: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the data of the replies with start and end; OSError if the kernel refuses, or after the deadline.

        A dump that was interrupted by a change (NLM_F_DUMP_INTR) is used as it is: a notification reports the change.
        """
        self._sequence += 1
        self._socket.send(pack_request(kind, flags, self._sequence, body))
        while True:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the kernel's routing tables could not be read in time")
            self._socket.settimeout(left_s)
            data, sender = self._socket.recvfrom(65536)
            if sender[0] != 0:  # not the kernel
                continue
            for found, sequence, start, end in split_messages(data):
                if sequence != self._sequence:
                    continue
                if found in (DONE, ERROR):
                    check_status(data[start:end])
                    return
                if found == answer:
                    yield data, start, end
