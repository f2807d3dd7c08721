"""Reads node addresses, default gateways and resolvers.

rtnetlink(7) is used directly, because a library for it costs 19 MB of memory. Decoders are pure: they take bytes,
return values, and raise MalformedRecord for bytes that no kernel sends.
"""

import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from monitor.files.changes import read_bounded
from monitor.model.addresses import Address, fold_mapped, host, parse_address
from monitor.model.bans import AllowEntry
from monitor.model.errors import MalformedRecord, TemporaryError

# The second file has the real resolvers where the first only has the loopback stub of systemd-resolved.
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
OWN_ADDRESS = "an address of this node"
"""The reason of the entries for node addresses."""
_MAX_FILE_BYTES = 65536
_TIMEOUT_S = 5.0
_MAX_NEXTHOPS = 1024

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_ERROR, _DONE = 2, 3  # linux/netlink.h
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_SOL_NETLINK, _GET_STRICT_CHK = 270, 12
# linux/rtnetlink.h, linux/if_addr.h, linux/nexthop.h
_NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE, _NEWNEXTHOP, _GETNEXTHOP = 20, 22, 24, 26, 104, 106
_IFADDRMSG_BYTES, _RTMSG_BYTES, _RTNEXTHOP_BYTES, _NHMSG_BYTES = 8, 12, 8, 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA, _RTA_NH_ID = 5, 9, 18, 30
_NHA_ID, _NHA_GROUP, _NHA_GATEWAY = 1, 2, 6
_NLA_TYPE_MASK = 0x3FFF
_UNICAST = 1  # RTN_UNICAST
_GROUP_MEMBER_BYTES = 8  # nexthop_grp
_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)  # enum members are slow to look up


def read_node(resolver_files: Iterable[Path] = RESOLVER_FILES) -> list[AllowEntry]:
    """Return entries for node addresses, gateways and resolvers; TemporaryError if the kernel does not answer."""
    try:
        with _RouteQuery() as query:
            addresses = list(query.addresses())
            gateways = list(query.gateways())
    except (OSError, MalformedRecord) as error:
        raise TemporaryError(f"cannot read the node's addresses and routes: {error}") from error
    resolvers = [address for path in resolver_files for address in parse_resolvers(_read(path))]
    found = {
        OWN_ADDRESS: addresses,
        "a default gateway of this node": gateways,
        "a resolver of this node": resolvers,
    }
    # IPv6 lists a route twice if it is in two tables or has two metrics: an address counts once for each reason
    return [AllowEntry(host(address), reason) for reason, some in found.items() for address in dict.fromkeys(some)]


def parse_resolvers(text: str) -> list[Address]:
    """Return the `nameserver` addresses of a resolv.conf(5); zones are removed, other lines skipped."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(parse_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


def _read(path: Path) -> str:
    """Return the text of the file; empty if it cannot be read, because a node may have no resolvers."""
    return (read_bounded(path, _MAX_FILE_BYTES) or b"").decode(errors="replace")


def split_messages(data: bytes, offset: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, sequence, start and end of the payload of each netlink message (RFC 3549 section 2.3.2)."""
    size = len(data)
    while offset < size:
        if size - offset < 16:
            raise MalformedRecord("netlink", "a message header is truncated")
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16 or length > size - offset:
            raise MalformedRecord("netlink", f"a message of {length} bytes where {size - offset} are left")
        yield kind, sequence, offset + 16, offset + length
        offset += (length + 3) & ~3


def split_attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of a payload by type; if a type occurs twice the last one counts."""
    found = {}
    offset, size = 0, len(data)
    while size - offset >= 4:  # the kernel may pad the end
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or length > size - offset:
            raise MalformedRecord("netlink", f"an attribute of {length} bytes where {size - offset} are left")
        found[kind & _NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def own_address(payload: bytes) -> Address | None:
    """Return the address of an ifaddrmsg: on point-to-point links IFA_LOCAL is ours, IFA_ADDRESS the peer's."""
    attributes = split_attributes(payload[_IFADDRMSG_BYTES:])
    return _address(attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or b"")


def route_gateways(payload: bytes) -> tuple[list[Address], list[int]]:
    """Return the gateways of a route (rtmsg) and the IDs of the nexthop objects that contain its gateways.

    Each hop of a multipath route counts. IDs of nexthop objects are returned only if the route itself has no gateway
    (sysctl net.ipv4.nexthop_compat_mode=0).
    """
    attributes = split_attributes(payload[_RTMSG_BYTES:])
    gateways = [*_hop_gateways(attributes)]
    hops = attributes.get(_RTA_MULTIPATH, b"")
    while len(hops) >= _RTNEXTHOP_BYTES:
        length = int.from_bytes(hops[:2], sys.byteorder)
        if not _RTNEXTHOP_BYTES <= length <= len(hops):
            raise MalformedRecord("netlink", f"a hop of {length} bytes where {len(hops)} are left")
        gateways += _hop_gateways(split_attributes(hops[_RTNEXTHOP_BYTES:length]))
        hops = hops[(length + 3) & ~3 :]
    nexthop = attributes.get(_RTA_NH_ID, b"")
    return gateways, [int.from_bytes(nexthop, sys.byteorder)] if nexthop and not gateways else []


def nexthop_gateways(payload: bytes) -> tuple[list[Address], list[int]]:
    """Return the gateway of a nexthop object (nhmsg), and the IDs of its members if it is a group."""
    attributes = split_attributes(payload[_NHMSG_BYTES:])
    group = attributes.get(_NHA_GROUP, b"")
    members = [
        int.from_bytes(group[at : at + 4], sys.byteorder) for at in range(0, len(group) - 7, _GROUP_MEMBER_BYTES)
    ]
    gateway = _address(attributes.get(_NHA_GATEWAY, b""))
    return [gateway] if gateway else [], members


def _hop_gateways(attributes: dict[int, bytes]) -> Iterator[Address]:
    # RTA_VIA is an IPv6 gateway of an IPv4 route (RFC 8950): a family of two bytes, then the address.
    for raw in (attributes.get(_RTA_GATEWAY, b""), attributes.get(_RTA_VIA, b"")[2:]):
        if gateway := _address(raw):
            yield gateway


def _address(raw: bytes) -> Address | None:
    """Return the address; None if it is missing, all zero, or not an IP address."""
    return fold_mapped(raw) if len(raw) in (4, 16) and any(raw) else None


class _RouteQuery:
    """Queries addresses and routes of the kernel; all queries together take at most `_TIMEOUT_S`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sequence = 0
        self._until_s = time.monotonic() + _TIMEOUT_S
        try:  # since Linux 4.20: dumps are filtered by the header of the request
            self._socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
            self._is_strict = True
        except OSError:
            self._is_strict = False

    def __enter__(self) -> "_RouteQuery":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def addresses(self) -> Iterator[Address]:
        """Yield the addresses of all interfaces."""
        for family in (_AF_INET, _AF_INET6):
            for data, start, end in self._ask(_GETADDR, _DUMP, bytes([family]) + bytes(7), _NEWADDR):
                if address := own_address(data[start:end]):
                    yield address

    def gateways(self) -> Iterator[Address]:
        """Yield the next hops of all default routes of all tables, including each hop of a multipath route.

        The kernel filters dumps by route type but not by prefix length, so for other routes only one byte is read:
        1,000,000 routes take about a second. The kernel leaves out exceptions of IPv6 routes (learned MTUs).
        """
        wanted: list[int] = []
        kind = _UNICAST if self._is_strict else 0
        for family in (_AF_INET, _AF_INET6):
            header = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, kind, 0)
            for data, start, end in self._ask(_GETROUTE, _DUMP, header, _NEWROUTE):
                # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
                if end - start >= _RTMSG_BYTES and data[start + 1] == 0 and data[start + 7] == _UNICAST:
                    gateways, nexthops = route_gateways(data[start:end])
                    yield from gateways
                    wanted += nexthops
        yield from self._nexthops(wanted)

    def _nexthops(self, wanted: list[int]) -> Iterator[Address]:
        """Yield the gateways of these nexthop objects, requested by ID because there may be very many others."""
        seen: set[int] = set()
        while wanted and len(seen) < _MAX_NEXTHOPS:
            identity = wanted.pop()
            if identity in seen:
                continue
            seen.add(identity)
            request = bytes(_NHMSG_BYTES) + _ATTRIBUTE.pack(8, _NHA_ID) + identity.to_bytes(4, sys.byteorder)
            try:
                for data, start, end in self._ask(_GETNEXTHOP, _ACK, request, _NEWNEXTHOP):
                    gateways, members = nexthop_gateways(data[start:end])
                    yield from gateways
                    wanted += members
            except OSError as error:
                if error.errno != errno.ENOENT:  # deleted since the route was read; a notification reports it
                    raise

    def _ask(self, kind: int, flags: int, body: bytes, answer: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the data of the replies with start and end; OSError if the kernel refuses, or after the deadline.

        A dump that was interrupted by a change (NLM_F_DUMP_INTR) is used as it is: a notification reports the change.
        """
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, _REQUEST | flags, self._sequence, 0) + body)
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
                if found in (_DONE, _ERROR):
                    _check(data[start:end])
                    return
                if found == answer:
                    yield data, start, end


def _check(payload: bytes) -> None:
    """Raise the error that ends a reply, if there is one (nlmsgerr, or the status of a dump)."""
    if len(payload) >= 4 and (number := -int.from_bytes(payload[:4], sys.byteorder, signed=True)):
        raise OSError(number, os.strerror(number))
