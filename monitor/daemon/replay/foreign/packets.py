"""Packets in frames of a capture: who sent what to whom. Pure; a frame that is cut counts if what is needed is there.

Link types are those of https://www.tcpdump.org/linktypes.html. Tunnels are not opened.
"""

import struct
from collections.abc import Callable

import msgspec

from monitor.model.addresses import Address
from monitor.model.protocols import (
    PROTOCOL_AH,
    PROTOCOL_DSTOPTS,
    PROTOCOL_FRAGMENT,
    PROTOCOL_HOPOPTS,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_ROUTING,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
)

NETLINK = 253
"""Captured from an nlmon interface: no packets but netlink messages."""
NETLINK_HEADER_BYTES = 16
_NETFILTER = b"\0\x0c"

NOT_IP = "no IP packets (ARP, STP and the like)"
CUT = "cut before the ports (snapshot length)"
FRAGMENT = "later fragments, which have no ports"
OTHER = "of protocols other than TCP, UDP and ping"
MALFORMED = "malformed"

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN = frozenset((0x8100, 0x88A8, 0x9100))
_MAX_VLANS = 4
_MAX_EXTENSIONS = 8
_ECHO = {PROTOCOL_ICMP: (8, 0), PROTOCOL_ICMPV6: (128, 129)}
"""Types of ping and its reply."""
_LOOPBACK_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
"""AF_INET, and AF_INET6 as Linux and the BSDs number it."""
_LEAST_BYTES = {PROTOCOL_TCP: 20, PROTOCOL_UDP: 8, PROTOCOL_ICMP: 8}
"""Of the header behind that of IP, without which the kernel drops a packet."""
_MORE_FRAGMENTS = 0x2000
_short = struct.Struct("!H").unpack_from
_ports = struct.Struct("!HH").unpack_from
_ipv4 = struct.Struct("!BBHHHBBH4s4s").unpack_from
_ipv6 = struct.Struct("!IHBB16s16s").unpack_from


class Packet(msgspec.Struct, gc=False):
    """One packet. Of a ping, the ports are the identifier both times, and `reply` says whether it is the answer."""

    time_s: float
    source: Address
    destination: Address
    protocol: int
    source_port: int
    destination_port: int
    size_bytes: int
    """As the IP header says it."""
    tcp_flags: int = 0
    is_reply: bool = False
    is_ours: bool | None = None
    """Whether it was sent by the node (True) or to it (False), where the link type says so."""


def netlink_message(data: bytes) -> bytes | None:
    """Return the netlink message of netfilter in a frame of an nlmon interface."""
    return data[NETLINK_HEADER_BYTES:] if data[14:16] == _NETFILTER else None


def read_packet(time_s: float, link_type: int, data: bytes) -> Packet | str:
    """Return the packet, or why the frame holds none that is followed."""
    network = _NETWORK.get(link_type)
    if network is None:
        return f"of link type {link_type}, which is not read"
    try:
        ether_type, offset, is_ours = network(data)
        for _ in range(_MAX_VLANS):
            if ether_type not in _VLAN:
                break
            ether_type, offset = _short(data, offset + 2)[0], offset + 4
        if ether_type == _IPV4:
            found = _read_ipv4(time_s, data, offset)
        elif ether_type == _IPV6:
            found = _read_ipv6(time_s, data, offset)
        else:
            return NOT_IP
    except struct.error:
        return CUT
    if isinstance(found, Packet):
        found.is_ours = is_ours
    return found


def _read_ipv4(time_s: float, data: bytes, offset: int) -> Packet | str:
    first, _, size, _, fragment, _, protocol, _, source, destination = _ipv4(data, offset)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20:
        return MALFORMED
    if fragment & 0x1FFF:
        return FRAGMENT
    if 0 < size < header + _LEAST_BYTES.get(protocol, 0) and not fragment & _MORE_FRAGMENTS:
        return MALFORMED  # what follows in the frame is padding; 0: segments are cut after the capture (TSO)
    return _read_transport(time_s, data, offset + header, protocol, source, destination, size)


def _read_ipv6(time_s: float, data: bytes, offset: int) -> Packet | str:
    first, payload, protocol, _, source, destination = _ipv6(data, offset)
    if first >> 28 != 6:
        return MALFORMED
    offset += 40
    for _ in range(_MAX_EXTENSIONS):
        if protocol in (PROTOCOL_HOPOPTS, PROTOCOL_ROUTING, PROTOCOL_DSTOPTS):
            protocol, length = struct.unpack_from("BB", data, offset)
            offset += (length + 1) * 8
        elif protocol == PROTOCOL_FRAGMENT:
            if _short(data, offset + 2)[0] & 0xFFF8:
                return FRAGMENT
            protocol, offset = data[offset], offset + 8
        elif protocol == PROTOCOL_AH:
            protocol, length = struct.unpack_from("BB", data, offset)
            offset += (length + 2) * 4
        else:
            return _read_transport(time_s, data, offset, protocol, source, destination, 40 + payload)
    return OTHER


def _read_transport(
    time_s: float, data: bytes, offset: int, protocol: int, source: Address, destination: Address, size: int
) -> Packet | str:
    if protocol == PROTOCOL_TCP:
        if len(data) < offset + 14:
            return CUT
        first, last = _ports(data, offset)
        return Packet(time_s, source, destination, protocol, first, last, size, data[offset + 13])
    if protocol == PROTOCOL_UDP:
        first, last = _ports(data, offset)
        return Packet(time_s, source, destination, protocol, first, last, size)
    if (echo := _ECHO.get(protocol)) is None:
        return OTHER
    if len(data) < offset + 6:
        return CUT
    if data[offset] not in echo:
        return OTHER
    number = _short(data, offset + 4)[0]
    return Packet(time_s, source, destination, protocol, number, number, size, is_reply=data[offset] == echo[1])


def _ethernet(data: bytes) -> tuple[int, int, bool | None]:
    return _short(data, 12)[0], 14, None


def _cooked(data: bytes) -> tuple[int, int, bool | None]:
    return _short(data, 14)[0], 16, _direction(_short(data)[0])


def _cooked_2(data: bytes) -> tuple[int, int, bool | None]:
    return _short(data)[0], 20, _direction(struct.unpack_from("B", data, 10)[0])


def _direction(packet_type: int) -> bool | None:
    """Return who sent it: PACKET_HOST is for the node, PACKET_OUTGOING from it (linux/if_packet.h)."""
    return {0: False, 4: True}.get(packet_type)


def _raw(data: bytes) -> tuple[int, int, bool | None]:
    version = struct.unpack_from("B", data)[0] >> 4
    return {4: _IPV4, 6: _IPV6}.get(version, 0), 0, None


def _loopback(data: bytes) -> tuple[int, int, bool | None]:
    """Read the family, which is in the byte order of whoever captured."""
    family = max(data[0], data[3]) if len(data) > 3 else 0
    return _LOOPBACK_FAMILIES.get(family, 0), 4, None


_NETWORK: dict[int, Callable[[bytes], tuple[int, int, bool | None]]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
