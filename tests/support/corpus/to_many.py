"""Negative scenarios of packets sent to many: multicast and broadcast, from a neighbour and from the node itself."""

import contextlib
import fcntl
import socket
import struct

from tests.support.corpus.scenario import MACS, NEIGHBOUR, NODE, Material, Scenario
from tests.support.lab import Host, Lab

_DISCOVERY = (
    67,
    111,
    137,
    138,
    161,
    427,
    1124,
    1947,
    3289,
    3483,
    5678,
    6771,
    8610,
    8612,
    10001,
    17500,
    20002,
    21027,
    22222,
    27036,
    30303,
    32412,
    32414,
)
"""UDP ports to which devices on a LAN broadcast for discovery."""
_STREAM_PORTS = range(5004, 5044, 2)
_GROUPS4 = [
    ("224.0.0.251", 5353),
    ("239.255.255.250", 1900),
    ("224.0.0.252", 5355),
    *((f"239.1.1.{number}", port) for number, port in enumerate(_STREAM_PORTS)),
]
_GROUPS6 = [
    ("ff02::fb", 5353),
    ("ff02::c", 1900),
    ("ff02::1:3", 5355),
    *((f"ff15::{number:x}", port) for number, port in enumerate(_STREAM_PORTS, 1)),
]


def _groups(lab: Lab) -> None:
    """Send to groups of which the node is a member: IGMP, MLD, service discovery and twenty streams."""
    with contextlib.ExitStack() as stack:
        sender = _sockets(stack, lab[NEIGHBOUR])
        _join_all(stack, lab[NODE])
        _report(stack, lab[NODE], sender)
        _announce(sender)
        _query_members(stack, lab[NEIGHBOUR])


def _own_groups(lab: Lab) -> None:
    """Send to the same groups from the node itself: the kernel loops each back, without a link-layer header."""
    with contextlib.ExitStack() as stack:
        _join_all(stack, lab[NODE])
        _announce(_sockets(stack, lab[NODE]))


def _join_all(stack: contextlib.ExitStack, host: Host) -> None:
    """Make a host a member of all groups and, as a multicast router, of the groups for reports."""
    host.run("sysctl", "-qw", "net.ipv4.igmp_max_memberships=64")
    groups4, groups6 = ([group for group, _ in groups] for groups in (_GROUPS4, _GROUPS6))
    _join(_sockets(stack, host), ["224.0.0.22", *groups4], ["ff02::16", *groups6])


def _announce(sender: dict[int, socket.socket]) -> None:
    """Send a datagram to every group."""
    for group in _GROUPS4:
        sender[socket.AF_INET].sendto(b"announcement", group)
    for group in _GROUPS6:
        sender[socket.AF_INET6].sendto(b"announcement", (*group, 0, _index(sender[socket.AF_INET6])))


def _report(stack: contextlib.ExitStack, router: Host, member: dict[int, socket.socket]) -> None:
    """Join a group of each family and wait until the kernel has sent its reports (it delays them)."""
    with router.entered():
        wire = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)))  # ETH_P_ALL
    _join(member, ["239.9.9.9"], ["ff15::9:9"])
    missing = {b"\x01\x00\x5e\x00\x00\x16", b"\x33\x33\x00\x00\x00\x16"}
    own = bytes.fromhex(MACS[NODE].replace(":", ""))
    wire.settimeout(10)
    while missing:
        frame = wire.recv(4096)
        if frame[6:12] != own:
            missing.discard(frame[:6])


def _query_members(stack: contextlib.ExitStack, router: Host) -> None:
    """Query all hosts for their groups: IGMPv2 general query (RFC 2236), MLDv1 query (RFC 2710)."""
    with router.entered():
        igmp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP))
        mld = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    for sock in (igmp, mld):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for _ in range(20):
        igmp.sendto(b"\x11\x64\xee\x9b" + bytes(4), ("224.0.0.1", 0))
        mld.sendto(b"\x82\x00\x00\x00\x27\x10\x00\x00" + bytes(16), ("ff02::1", 0, 0, _index(mld)))


def _broadcasts(lab: Lab) -> None:
    """Broadcast to the subnet and to all hosts, like NetBIOS, DHCP and devices on a LAN."""
    _broadcast(lab[NEIGHBOUR])


def _own_broadcasts(lab: Lab) -> None:
    """Broadcast from the node itself: the kernel loops each back to eth0, without a link-layer header."""
    _broadcast(lab[NODE])


def _broadcast(host: Host) -> None:
    with contextlib.ExitStack() as stack:
        sender = _sockets(stack, host)[socket.AF_INET]
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for port in _DISCOVERY:
            sender.sendto(b"anybody?", ("10.88.0.255", port))
            sender.sendto(b"anybody?", ("255.255.255.255", port))


def _sockets(stack: contextlib.ExitStack, host: Host) -> dict[int, socket.socket]:
    """Return a UDP socket of each family inside this host, for its eth0; multicast leaves there."""
    with host.entered():
        sockets: dict[int, socket.socket] = {
            family: stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            for family in (socket.AF_INET, socket.AF_INET6)
        }
    for sock in sockets.values():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    interface = struct.pack("4s4si", bytes(4), bytes(4), _index(sockets[socket.AF_INET]))
    sockets[socket.AF_INET].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    return sockets


def _index(sock: socket.socket) -> int:
    """Return the index of eth0 in the namespace of this socket."""
    request = fcntl.ioctl(sock, 0x8933, struct.pack("16si", b"eth0", 0))  # SIOCGIFINDEX, linux/sockios.h
    return int(struct.unpack("16si", request)[1])


def _join(sockets: dict[int, socket.socket], groups4: list[str], groups6: list[str]) -> None:
    """Make both sockets members of these groups: the kernel reports each to the network."""
    interface = _index(sockets[socket.AF_INET])
    for group in groups4:
        membership = struct.pack("4s4si", socket.inet_aton(group), bytes(4), interface)
        sockets[socket.AF_INET].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    for group in groups6:
        membership = struct.pack("16si", socket.inet_pton(socket.AF_INET6, group), interface)
        sockets[socket.AF_INET6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)


TO_MANY = [
    Scenario("groups", _groups, Material(lines=80, ports=22, hosts=22)),
    Scenario("own_groups", _own_groups, Material(lines=46, ports=22, hosts=22)),
    Scenario("broadcasts", _broadcasts, Material(lines=40, ports=20)),
    Scenario("own_broadcasts", _own_broadcasts, Material(lines=40, ports=20)),
]
