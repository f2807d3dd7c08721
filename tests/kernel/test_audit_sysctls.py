"""What checks say of sysctls is what the kernel does with packets, for every combination of `all` and the interface."""

import contextlib
import ipaddress
import itertools
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.audit.facts import Facts
from monitor.audit.hosting.gathering import gather_host
from monitor.audit.judging import judge
from monitor.audit.registry import BY_ID
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

CONF = Path("/proc/sys/net/ipv4/conf")
STRANGER, FAR, LOOPBACK = "203.0.113.77", "198.51.100.1", "127.0.0.1"
PORT = 9999
_LOOSE_SOURCE_ROUTE = bytes((131, 7, 8)) + bytes(4) + b"\x01"
"""IPOPT_LSRR with one address, that was used already: the packet is at its destination."""


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(int(word) for word in struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: str, destination: str, payload: bytes, protocol: int = 17, options: bytes = b"") -> bytes:
    """Return an IPv4 packet with its checksum."""
    words = 5 + len(options) // 4
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    header = struct.pack("!BBHHHBB", 0x40 | words, 0, words * 4 + len(payload), 7, 0, 64, protocol)
    total = checksum(header + b"\0\0" + addresses + options)
    return header + struct.pack("!H", total) + addresses + options + payload


def datagram(text: bytes) -> bytes:
    """Return a UDP datagram to the listener, without checksum."""
    return struct.pack("!HHHH", 5000, PORT, 8 + len(text), 0) + text


class Wire:
    """A node with a listener, and a neighbour that sends whatever it likes."""

    def __init__(self, node: Host, neighbour: Host) -> None:
        self.node, self.neighbour = node, neighbour
        mac = re.search(r"link/ether (\S+)", node.run("ip", "link", "show", "eth0").stdout)
        assert mac
        self._ethernet = bytes.fromhex(mac[1].replace(":", "")) + bytes((2, 0, 0, 0, 0, 1)) + b"\x08\x00"
        with neighbour.entered():
            self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._sender.bind(("eth0", 0))
        with node.entered():
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._listener.bind(("0.0.0.0", PORT))

    def close(self) -> None:
        """Close the sockets."""
        self._sender.close()
        self._listener.close()

    def send(self, content: bytes) -> None:
        """Send a packet to the node."""
        self._sender.send(self._ethernet + content)

    def is_taken(self, content: bytes) -> bool:
        """Whether the listener gets a datagram `?`, which is sent before one that every node takes.

        Floods of other tests fill the queue of the processor, and the kernel drops what comes then: it is tried again.
        """
        return any(self._is_taken(content) for _ in range(3))

    def _is_taken(self, content: bytes) -> bool:
        for _ in range(20):
            self._listener.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                while self._listener.recv(16):
                    pass
            self.send(content)
            self.send(packet(self.neighbour.address4, self.node.address4, datagram(b"!")))
            self._listener.settimeout(1)
            with contextlib.suppress(TimeoutError):
                first = self._listener.recv(16)
                assert first in (b"?", b"!")
                return first == b"?"
        raise TimeoutError("nothing arrives at the node")

    def fails(self, check: str) -> bool:
        """Whether a check fails in the node's namespace, and says so of eth0."""
        with self.node.entered():
            findings = list(judge([BY_ID[check]], Facts(host=gather_host())))
        subjects = [one.subject for one in findings if one.state == "fail" and "eth0" in one.text]
        return any(one.startswith("net.ipv4.") and not one.endswith("send_redirects") for one in subjects)

    def set(self, name: str, for_all: int, own: int) -> None:
        """Set a sysctl of the node."""
        with self.node.entered():
            (CONF / "all" / name).write_text(str(for_all))
            (CONF / "eth0" / name).write_text(str(own))


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Yield a node and a neighbour; on one processor, so that packets arrive in the order in which they were sent."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with Lab("node", "neighbour", label="sysctls") as lab:
            wire = Wire(lab["node"], lab["neighbour"])
            try:
                for name in ("rp_filter", "route_localnet", "accept_source_route", "accept_redirects"):
                    wire.set(name, 0, 0)
                yield wire
            finally:
                wire.close()
    finally:
        os.sched_setaffinity(0, before)


def test_a_forged_source_passes_where_rp_filter_fails(wire: Wire) -> None:
    """A source without a route is taken only if both values are 0: the larger one is in force."""
    for values in itertools.product((0, 1, 2), repeat=2):
        wire.set("rp_filter", *values)
        is_taken = wire.is_taken(packet(STRANGER, wire.node.address4, datagram(b"?")))
        assert is_taken == wire.fails("rp-filter") == (values == (0, 0)), values


def test_loopback_is_reached_where_route_localnet_fails(wire: Wire) -> None:
    """A packet to 127.0.0.1 from the wire is taken if either value is set."""
    for values in itertools.product((0, 1), repeat=2):
        wire.set("route_localnet", *values)
        is_taken = wire.is_taken(packet(wire.neighbour.address4, LOOPBACK, datagram(b"?")))
        assert is_taken == wire.fails("route-localnet") == any(values), values


def test_a_source_route_is_followed_where_the_check_fails(wire: Wire) -> None:
    """A packet with the option is taken if both values are set."""
    sent = packet(wire.neighbour.address4, wire.node.address4, datagram(b"?"), options=_LOOSE_SOURCE_ROUTE)
    for values in itertools.product((0, 1), repeat=2):
        wire.set("accept_source_route", *values)
        assert wire.is_taken(sent) == wire.fails("source-route") == all(values), values


def test_a_redirect_changes_the_route_where_the_check_fails(wire: Wire) -> None:
    """On a router both values must be set, on a host one: then the neighbour draws the node's packets elsewhere."""
    node, gateway, other = wire.node, wire.neighbour.address4, "10.88.0.200"
    node.run("ip", "route", "add", "default", "via", gateway)
    node.run("ip", "neighbour", "add", other, "lladdr", "02:00:00:00:00:02", "dev", "eth0", "nud", "permanent")
    echo_reply = struct.pack("!BBHHH", 0, 0, 0, 1, 1)  # the kernel's own: for others it asks for a socket
    body = ipaddress.ip_address(other).packed + packet(node.address4, FAR, echo_reply, 1)
    head = struct.pack("!BB", 5, 1)
    redirect = head + struct.pack("!H", checksum(head + b"\0\0" + body)) + body
    for forwarding, *values in itertools.product((0, 1), repeat=3):
        with node.entered():
            (CONF / "eth0/forwarding").write_text(str(forwarding))
        wire.set("accept_redirects", *values)
        node.run("ip", "route", "flush", "cache")
        assert f"via {gateway}" in node.run("ip", "route", "get", FAR).stdout
        assert not wire.is_taken(packet(gateway, node.address4, redirect, 1))
        is_drawn = f"via {other}" in node.run("ip", "route", "get", FAR).stdout
        expected = all(values) if forwarding else any(values)
        assert is_drawn == wire.fails("redirects") == expected, (forwarding, values)
