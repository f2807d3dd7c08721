"""Drops made on purpose, each counted under the reason that this kernel's BTF names."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from bench.packets import ipv4_packet, syn_frame, udp_frame
from monitor.ebpf.reasons import Fate
from monitor.model.addresses import parse_address, parse_network
from monitor.model.protocols import PROTOCOL_GRE, PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_UDP
from monitor.sources.drops.kinds import DropKind, Dropped, Released
from monitor.sources.drops.reader import DropCounters
from monitor.sources.drops.settings import DropCounting, DropsSettings
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
        counters = DropCounters(DropCounting(DropsSettings()))
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
    for kind, (packets, _) in counters.totals().drops.items():
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
    before = counters.totals().drops
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
    before = counters.totals().drops
    send(lab, bad_frames(lab)[what])
    found = [dropped(counters, before, reason) for reason in reasons & set(counters.reasons.names)]
    assert [sum(one.values()) for one in found if one] == [COUNT]


def local_messages() -> None:
    """Close 3,000 pairs of local sockets, a message unread in each."""
    for _ in range(3000):
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.send(b"unread")
        other.close()
        one.close()


def unread_connections() -> None:
    """Close ends of TCP connections and UDP sockets that did not read what is in their queues."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(20):
            with socket.create_connection(server.getsockname()) as client:
                accepted, _ = server.accept()
                client.sendall(bytes(20_000))
                accepted.close()  # which resets the connection
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            for _ in range(10):
                udp.sendto(b"unread", udp.getsockname())


def test_what_is_no_lost_packet_is_counted_apart(lab: Lab, counters: DropCounters) -> None:
    """Rules, elements, local sockets, closed connections: the kernel calls them drops, and nobody lost a packet.

    The buffers are counted under what became of them, and there are none more among the drops.
    """
    node = lab["node"]
    before, already = counters.totals().drops, counters.totals().released
    node.nft("table inet big { chain c {" + "tcp dport 7 counter;\n" * 5000 + "}; }")
    elements = ", ".join(f"10.{number >> 8}.{number & 255}.1" for number in range(5000))
    node.nft(f"add set inet big bans {{ type ipv4_addr; }}; add element inet big bans {{ {elements} }}")
    node.nft("delete table inet big")
    with node.entered():
        local_messages()
        unread_connections()
    time.sleep(0.1)
    totals = counters.totals()
    more = {kind: count[0] - before.get(kind, (0, 0))[0] for kind, count in totals.drops.items()}
    # neighbours solicit each other by IPv6 all the time, and others have work on this machine
    ours = {kind: n for kind, n in more.items() if n and kind.family != "ipv6" and not kind.is_foreign}
    assert ours == {}
    assert sum(n for kind, n in more.items() if kind.reason == "NOT_SPECIFIED" and kind.family == "ipv4") < 200
    apart = {one: count - already.get(one, 0) for one, count in totals.released.items()}
    assert apart[Released("SOCKET_CLOSE", Fate.TEARDOWN)] >= 3000
    assert apart[Released("NOT_SPECIFIED", Fate.TEARDOWN)] >= 200  # of the UDP sockets
    assert sum(count for one, count in apart.items() if one.fate is Fate.NO_PACKET) > 0
    assert list(counters.poll(0.0)) == []


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
        before = counters.totals().drops
        send(lab, frame, 200)
        found = dropped(counters, before, "SOCKET_RCVBUFF")
    assert 100 <= found["ipv4", "in"] < 200
    assert all(one.packets[3] and not sum(one.packets[:3]) for one in counters.poll(0.0))


def test_rp_filter(lab: Lab, counters: DropCounters) -> None:
    """A source that cannot come from there."""
    node = lab["node"]
    node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1")
    try:
        before = counters.totals().drops
        send(lab, syn_frame(frames(lab), parse_address("203.0.113.9"), parse_address(node.address4), 9))
        assert dropped(counters, before, "IP_RPFILTER") == {("ipv4", "in"): COUNT}
    finally:
        node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")


def encapsulated(kind: str, lab: Lab, inner: bytes) -> bytes:
    """Put an Ethernet frame, or the IP packet in it, into a tunnel's packet from outside to the node."""
    link, theirs = frames(lab), parse_address(lab["outside"].address4)
    ours, packet = parse_address(lab["node"].address4), inner[14:]
    ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    vxlan = struct.pack("!II", 0x08000000, 42 << 8) + inner
    protocol, payload = {
        "vxlan": (PROTOCOL_UDP, udp(4789, vxlan)),
        "vxlan_old_port": (PROTOCOL_UDP, udp(8472, vxlan)),
        "geneve": (PROTOCOL_UDP, udp(6081, b"\x00\x00\x65\x58" + bytes(4) + inner)),
        "geneve_options": (PROTOCOL_UDP, udp(6081, b"\x02\x00\x65\x58" + bytes(12) + inner)),
        "geneve_ip": (PROTOCOL_UDP, udp(6081, b"\x00\x00" + ethertype + bytes(4) + packet)),
        "ipip": (PROTOCOL_IPIP if packet[0] >> 4 == 4 else PROTOCOL_IPV6, packet),
        "gre": (PROTOCOL_GRE, b"\x00\x00" + ethertype + packet),
        "gre_keyed": (PROTOCOL_GRE, struct.pack("!HHII", 0x3000, 0x6558, 7, 9) + inner),
        # these are not looked into: they encrypt, or another program decodes them
        "wireguard": (PROTOCOL_UDP, udp(51820, b"\x04" + bytes(15) + packet)),
        "teredo": (PROTOCOL_UDP, udp(3544, packet)),
        "esp": (50, struct.pack("!II", 1, 1) + packet),
    }[kind]
    return link[0] + link[1] + b"\x08\x00" + ipv4_packet(theirs, ours, payload, protocol)


def udp(port: int, data: bytes) -> bytes:
    """Return a UDP datagram without a checksum."""
    return struct.pack("!HHHH", 4000, port, 8 + len(data), 0) + data


LOOKED_INTO = ("vxlan", "vxlan_old_port", "geneve", "geneve_options", "geneve_ip", "ipip", "gre", "gre_keyed")
NOT_LOOKED_INTO = ("wireguard", "teredo", "esp")
SOURCES = ("198.51.100.7", "2001:db8::7")


def inner_frame(source: str) -> bytes:
    """Return a frame with a first packet of this source, for a tunnel."""
    target = "192.0.2.1" if "." in source else "2001:db8::1"
    return syn_frame((bytes(6), bytes(6)), parse_address(source), parse_address(target), 80)


@pytest.fixture
def overlay(lab: Lab) -> Iterator[DropCounters]:
    """Count on the node, for which outside is an overlay peer."""
    with lab["node"].entered():
        peers = (parse_network("203.0.113.0/24"), parse_network("10.88.0.2/31"), parse_network("fd88::/64"))
        counters = DropCounters(DropCounting(DropsSettings(), peers))
    yield counters
    counters.close()


@pytest.mark.parametrize("kind", LOOKED_INTO)
@pytest.mark.parametrize("source", SOURCES)
def test_tunnels_of_overlay_peers_are_looked_through(lab: Lab, overlay: DropCounters, kind: str, source: str) -> None:
    """The source inside is blamed, the one around it is kept, and the drop is marked as tunnelled."""
    before = overlay.totals().drops
    send(lab, encapsulated(kind, lab, inner_frame(source)), 100)
    time.sleep(0.05)
    tunnelled = [
        packets - before.get(kind_, (0, 0))[0]
        for kind_, (packets, _) in overlay.totals().drops.items()
        if kind_.is_tunnelled and not kind_.is_foreign and kind_.family == ("ipv4" if "." in source else "ipv6")
    ]
    assert sum(tunnelled) == 100
    found = {one.source: one for one in overlay.poll(0.0)}
    assert found.keys() == {parse_address(source)}
    one = found[parse_address(source)]
    assert one.outer == parse_address(lab["outside"].address4)
    assert 80 <= sum(one.packets) == one.tunnelled


@pytest.mark.parametrize("kind", [*LOOKED_INTO, *NOT_LOOKED_INTO])
@pytest.mark.parametrize("source", SOURCES)
def test_in_a_strangers_tunnel_nobody_but_the_sender_is_blamed(
    lab: Lab, counters: DropCounters, kind: str, source: str
) -> None:
    """Anyone can write an inner source: the sender of the outer packet counts, and is marked as one of tunnels."""
    send(lab, encapsulated(kind, lab, inner_frame(source)), 100)
    time.sleep(0.05)
    (one,) = counters.poll(0.0)
    assert (one.source, one.outer) == (parse_address(lab["outside"].address4), None)
    assert sum(one.packets) >= 80
    assert one.tunnelled == (sum(one.packets) if kind in LOOKED_INTO else 0)


@pytest.mark.parametrize("kind", ["vxlan", "gre", "ipip", "geneve"])
def test_random_inner_sources_add_up_under_their_sender(lab: Lab, counters: DropCounters, kind: str) -> None:
    """A sender that writes another inner source into each packet is found as one that sends one."""
    for number in range(100):
        send(lab, encapsulated(kind, lab, inner_frame(f"198.51.{number}.7")), 1)
    time.sleep(0.05)
    (one,) = counters.poll(0.0)
    assert one.source == parse_address(lab["outside"].address4)
    assert sum(one.packets) >= 80


def test_a_peers_nested_tunnel_counts_for_the_first_inner_source(lab: Lab, overlay: DropCounters) -> None:
    """A peer vouches for the packets that it wraps, and not for what these claim to carry."""
    nested = inner_frame("198.51.100.7")[:14] + ipv4_packet(
        parse_address("203.0.113.5"), parse_address("192.0.2.1"), inner_frame("198.51.100.9")[14:], PROTOCOL_IPIP
    )
    send(lab, encapsulated("vxlan", lab, nested), 100)
    time.sleep(0.05)
    (one,) = overlay.poll(0.0)
    assert (one.source, one.outer) == (parse_address("203.0.113.5"), parse_address(lab["outside"].address4))


@pytest.mark.parametrize("type_", [3, 4, 11, 12])
def test_an_icmp_error_never_blames_whom_it_quotes(lab: Lab, overlay: DropCounters, type_: int) -> None:
    """Its sender made the quotation up, as far as we know: the source of the error is what counts."""
    link, ours = frames(lab), parse_address(lab["node"].address4)
    lab["node"].nft("table inet e { chain i { type filter hook input priority 0; meta l4proto icmp drop; }; }")
    try:
        error = struct.pack("!BBHI", type_, 0, 0, 0) + inner_frame("198.51.100.7")[14:]
        packet = ipv4_packet(parse_address(lab["outside"].address4), ours, error, 1)
        send(lab, link[0] + link[1] + b"\x08\x00" + packet, 100)
        time.sleep(0.05)
        assert {one.source for one in overlay.poll(0.0)} == {parse_address(lab["outside"].address4)}
    finally:
        lab["node"].nft("delete table inet e")


def test_an_ipv6_packet_with_a_mapped_source_blames_no_ipv4_host(lab: Lab, counters: DropCounters) -> None:
    """No host sends ::ffff:198.51.100.7, so nobody at 198.51.100.7 sent it."""
    link = frames(lab)
    frame = bytearray(syn_frame(link, parse_address("2001:db8::7"), parse_address(lab["node"].address6), 9))
    frame[22:38] = bytes(10) + b"\xff\xff" + parse_address("198.51.100.7")
    send(lab, bytes(frame), 100)
    time.sleep(0.05)
    assert parse_address("198.51.100.7") not in {one.source for one in counters.poll(0.0)}


def test_who_drops_elsewhere_is_told_apart(lab: Lab, counters: DropCounters) -> None:
    """What another namespace drops is counted as foreign, and blames nobody here."""
    before = counters.totals().drops
    inside = lab["inside"]
    inside.nft("table inet f { chain i { type filter hook input priority 0; tcp dport 8 drop; }; }")
    send(lab, tcp(lab, inside.address4, 8), 60)
    time.sleep(0.05)
    foreign = sum(
        packets - before.get(kind, (0, 0))[0]
        for kind, (packets, _) in counters.totals().drops.items()
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
