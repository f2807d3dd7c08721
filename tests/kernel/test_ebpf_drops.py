"""Drops made on purpose, each counted under the reason that this kernel's BTF names."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from bench.packets import ipv4_packet, syn_frame, udp_frame
from monitor.model.addresses import parse_address
from monitor.model.protocols import PROTOCOL_GRE, PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_UDP
from monitor.sources.drops.kinds import DropKind, Dropped
from monitor.sources.drops.reader import DropCounters
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

COUNT = 40
FIREWALL = """
table inet f { chain i { type filter hook input priority 0; tcp dport 7 drop; };
  chain w { type filter hook forward priority 0; tcp dport 7 drop; }; }
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Make a node that routes for `inside`, and `outside` who sends."""
    with Lab("node", "outside", "inside", label="drops") as lab:
        node, outside, inside = lab["node"], lab["outside"], lab["inside"]
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        node.nft(FIREWALL)
        # the switch is to pass on what is malformed
        settings = [f"net.bridge.bridge-nf-call-{name}=0" for name in ("iptables", "ip6tables")]
        subprocess.run(["ip", "netns", "exec", lab.switch, "sysctl", "-eqw", *settings], check=True)
        outside.run("ip", "route", "add", f"{inside.address4}/32", "via", node.address4)
        outside.run("ip", "-6", "route", "add", f"{inside.address6}/128", "via", node.address6)
        for who in (outside, inside):  # neighbours are known from here on
            who.run("ping", "-c1", "-W2", node.address4)
            who.run("ping", "-c1", "-W2", node.address6)
        yield lab


@pytest.fixture
def counters(lab: Lab) -> Iterator[DropCounters]:
    """Count on the node."""
    with lab["node"].entered():
        counters = DropCounters(all_namespaces=False)
    yield counters
    counters.close()


def frames(lab: Lab) -> tuple[bytes, bytes]:
    """Return the link addresses of node and outside."""
    return tuple(_mac(lab[name]) for name in ("node", "outside"))  # type: ignore[return-value]


def _mac(host: Host) -> bytes:
    words = host.run("ip", "-o", "link", "show", "eth0").stdout.split()
    return bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))


def send(lab: Lab, frame: bytes, count: int = COUNT) -> None:
    """Send a frame from outside, so often."""
    with lab["outside"].entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.bind(("eth0", 0))
        for _ in range(count):
            sender.send(frame)


def dropped(counters: DropCounters, before: dict[DropKind, tuple[int, int]], reason: str) -> dict[tuple[str, str], int]:
    """Return packets on the node by family and direction that drop for a reason, since `before`."""
    time.sleep(0.05)
    found: dict[tuple[str, str], int] = {}
    for kind, (packets, _) in counters.totals().items():
        new = packets - before.get(kind, (0, 0))[0]
        if kind.reason == reason and not kind.is_foreign and new:
            key = kind.family, kind.direction
            found[key] = found.get(key, 0) + new
    return found


def tcp(lab: Lab, target: str, port: int) -> bytes:
    """Make a first packet from outside, by way of the node."""
    source = lab["outside"].address6 if ":" in target else lab["outside"].address4
    return syn_frame(frames(lab), parse_address(source), parse_address(target), port)


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize(("name", "port", "reason", "direction"), [
    ("node", 7, "NETFILTER_DROP", "in"), ("inside", 7, "NETFILTER_DROP", "forwarded"), ("node", 9, "NO_SOCKET", "in"),
])  # fmt: skip
def test_firewall_and_closed_port(
    lab: Lab, counters: DropCounters, family: str, name: str, port: int, reason: str, direction: str
) -> None:
    """What nft drops in input and forward, and what no socket waits for: as many as were sent, by their direction."""
    before = counters.totals()
    send(lab, tcp(lab, getattr(lab[name], f"address{family}"), port))
    assert dropped(counters, before, reason) == {(f"ipv{family}", direction): COUNT}


def changed(frame: bytes, at: int, value: bytes, *, has_checksum: bool = True) -> bytes:
    """Return a frame of IPv4 with other bytes; its header's checksum fits unless told otherwise."""
    frame = frame[:at] + value + frame[at + len(value) :]
    if has_checksum:
        frame = frame[:24] + bytes(2) + frame[26:]
        frame = frame[:24] + struct.pack("!H", _checksum(frame[14:34])) + frame[26:]
    return frame


def bad_frames(lab: Lab) -> dict[str, bytes]:
    """Return frames from outside, each wrong in its own way."""
    link, ours = frames(lab), parse_address(lab["node"].address4)
    theirs, inside = parse_address(lab["outside"].address4), parse_address(lab["inside"].address4)
    good = udp_frame(link, theirs, ours, 9)
    return {
        "closed udp port": good,
        "ip checksum": changed(good, 24, b"\x12\x34", has_checksum=False),
        "tcp checksum": changed(tcp(lab, lab["node"].address4, 9), 50, b"\x12\x34", has_checksum=False),
        "version": changed(good, 14, b"\x55"),
        "ttl": changed(udp_frame(link, theirs, inside, 9), 22, b"\x01"),
        "no route": udp_frame(link, theirs, parse_address("203.0.113.5"), 9),
        "nobody's source": udp_frame(link, parse_address("127.0.0.9"), ours, 9),
    }


@pytest.mark.parametrize(("what", "reasons"), [
    ("closed udp port", {"NO_SOCKET"}), ("ip checksum", {"IP_CSUM"}), ("tcp checksum", {"TCP_CSUM"}),
    ("version", {"IP_INHDR"}), ("ttl", {"IP_INHDR"}), ("no route", {"IP_INNOROUTES", "IP_INADDRERRORS"}),
    ("nobody's source", {"IP_INVALID_SOURCE", "IP_LOCALNET", "IP_LOCAL_SOURCE"}),
])  # fmt: skip
def test_what_is_wrong_has_its_name(lab: Lab, counters: DropCounters, what: str, reasons: set[str]) -> None:
    """As many as were sent drop under the kernel's name for it; where kernels differ, under one of their names."""
    before = counters.totals()
    send(lab, bad_frames(lab)[what])
    found = [dropped(counters, before, reason) for reason in reasons & set(counters.reasons.names)]
    assert [sum(one.values()) for one in found if one] == [COUNT]


def test_a_full_socket_buffer_is_the_nodes_trouble(lab: Lab, counters: DropCounters) -> None:
    """Packets for which a socket has no room: named so, and of the class that never counts as an offence."""
    with lab["node"].entered():
        lazy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        lazy.bind((lab["node"].address4, 5000))
        frame = udp_frame(
            frames(lab), parse_address(lab["outside"].address4), parse_address(lab["node"].address4), 5000
        )
        before = counters.totals()
        send(lab, frame, 200)
        found = dropped(counters, before, "SOCKET_RCVBUFF")
    assert 100 <= found["ipv4", "in"] < 200
    assert all(one.packets[3] and not sum(one.packets[:3]) for one in counters.poll(0.0))


def test_rp_filter(lab: Lab, counters: DropCounters) -> None:
    """A source that cannot come from there."""
    node = lab["node"]
    node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1")
    try:
        before = counters.totals()
        send(lab, syn_frame(frames(lab), parse_address("203.0.113.9"), parse_address(node.address4), 9))
        assert dropped(counters, before, "IP_RPFILTER") == {("ipv4", "in"): COUNT}
    finally:
        node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")


def encapsulated(kind: str, lab: Lab, inner: bytes) -> bytes:
    """Put an Ethernet frame, or the IP packet in it, into a tunnel's packet from outside to the node."""
    link, theirs = frames(lab), parse_address(lab["outside"].address4)
    ours, packet = parse_address(lab["node"].address4), inner[14:]
    protocol, payload = {
        "vxlan": (PROTOCOL_UDP, struct.pack("!HHHHII", 4000, 4789, 16 + len(inner), 0, 0x08000000, 42 << 8) + inner),
        "vxlan_old_port": (
            PROTOCOL_UDP,
            struct.pack("!HHHHII", 4000, 8472, 16 + len(inner), 0, 0x08000000, 42 << 8) + inner,
        ),
        "ipip": (PROTOCOL_IPIP if packet[0] >> 4 == 4 else PROTOCOL_IPV6, packet),
        "gre": (PROTOCOL_GRE, struct.pack("!HH", 0, 0x0800 if packet[0] >> 4 == 4 else 0x86DD) + packet),
        "gre_keyed": (PROTOCOL_GRE, struct.pack("!HHII", 0x3000, 0x6558, 7, 9) + inner),
    }[kind]
    return link[0] + link[1] + b"\x08\x00" + ipv4_packet(theirs, ours, payload, protocol)


@pytest.mark.parametrize("kind", ["vxlan", "vxlan_old_port", "ipip", "gre", "gre_keyed"])
@pytest.mark.parametrize("source", ["198.51.100.7", "2001:db8::7"])
def test_tunnels_are_looked_through(lab: Lab, counters: DropCounters, kind: str, source: str) -> None:
    """The source inside is blamed, the one around it is kept, and the drop is marked as tunnelled."""
    target = "192.0.2.1" if "." in source else "2001:db8::1"
    inner = syn_frame((bytes(6), bytes(6)), parse_address(source), parse_address(target), 80)
    before = counters.totals()
    send(lab, encapsulated(kind, lab, inner), 100)
    time.sleep(0.05)
    tunnelled = [
        packets - before.get(kind_, (0, 0))[0]
        for kind_, (packets, _) in counters.totals().items()
        if kind_.is_tunnelled and not kind_.is_foreign and kind_.family == ("ipv4" if "." in source else "ipv6")
    ]
    assert sum(tunnelled) == 100
    found = {one.source: one for one in counters.poll(0.0)}
    assert found[parse_address(source)].outer == parse_address(lab["outside"].address4)
    assert sum(found[parse_address(source)].packets) >= 80


def test_who_drops_elsewhere_is_told_apart(lab: Lab, counters: DropCounters) -> None:
    """What another namespace drops is counted as foreign, and blames nobody here."""
    before = counters.totals()
    inside = lab["inside"]
    inside.nft("table inet f { chain i { type filter hook input priority 0; tcp dport 8 drop; }; }")
    send(lab, tcp(lab, inside.address4, 8), 60)
    time.sleep(0.05)
    foreign = sum(
        packets - before.get(kind, (0, 0))[0]
        for kind, (packets, _) in counters.totals().items()
        if kind.is_foreign and kind.reason == "NETFILTER_DROP"
    )
    assert foreign >= 60
    assert list(counters.poll(0.0)) == []


def test_fifty_offenders_are_found_among_forged_sources(lab: Lab, counters: DropCounters) -> None:
    """Fifty sources that go on, among two hundred thousand with a packet each: all found, none invented."""
    link, node = frames(lab), parse_address(lab["node"].address4)
    offenders = [parse_address(f"198.51.100.{number}") for number in range(1, 51)]
    seen: dict[bytes, Dropped] = {}
    with lab["outside"].entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.bind(("eth0", 0))
        theirs = [udp_frame(link, source, node, 9) for source in offenders]
        template = bytearray(udp_frame(link, bytes(4), node, 9))
        for number in range(200_000):
            struct.pack_into("!I", template, 26, 0x0B000000 + number * 37)
            struct.pack_into("!H", template, 24, 0)
            struct.pack_into("!H", template, 24, _checksum(bytes(template[14:34])))
            sender.send(template)
            if number % 40 == 0:
                sender.send(theirs[number // 40 % 50])
            if number % 50_000 == 49_999:
                seen |= {one.source: one for one in counters.poll(number)}
    seen |= {one.source: one for one in counters.poll(200_000)}
    enough = {source for source, one in seen.items() if sum(one.packets) >= 10}
    assert enough == set(offenders)


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
