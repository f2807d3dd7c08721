"""Traffic that makes the kernel report every kind of connection event; each scenario in a separate lab."""

import socket
import struct
from collections.abc import Callable

import msgspec

from tests.support.lab import Host, Lab

_PORT = 8080
_FORWARD = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}
_COUNT = {"netfilter/nf_conntrack_acct": "1", "netfilter/nf_conntrack_timestamp": "1"}


class Scenario(msgspec.Struct, frozen=True):
    """Traffic between `client`, `node` (where conntrack is watched) and `backend`."""

    name: str
    traffic: Callable[[Lab], None]
    rules: str = ""
    settings: dict[str, str] = {}  # files below /proc/sys/net, in the node's namespace
    is_dump: bool = False


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _exchange(server: Host, client: Host, target: str, port: int = _PORT) -> None:
    """Connect by TCP, send a word in each direction, close in order."""
    family = _family(target)
    with server.entered():
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", _PORT))
        listener.listen()
    with client.entered():
        caller = socket.socket(family, socket.SOCK_STREAM)
    with listener, caller:
        caller.settimeout(5)
        listener.settimeout(5)
        caller.connect((target, port))
        accepted = listener.accept()[0]
        with accepted:
            caller.sendall(b"hello")
            accepted.recv(10)
            accepted.sendall(b"world")
            caller.recv(10)
            caller.close()
            accepted.recv(10)


def _datagrams(server: Host, client: Host, target: str, protocol: int = socket.IPPROTO_UDP) -> None:
    """Send a datagram, and one back."""
    family = _family(target)
    with server.entered():
        listener = socket.socket(family, socket.SOCK_DGRAM, protocol)
        listener.bind(("", _PORT))
    with client.entered():
        caller = socket.socket(family, socket.SOCK_DGRAM, protocol)
    with listener, caller:
        caller.settimeout(5)
        listener.settimeout(5)
        caller.sendto(b"hello", (target, _PORT))
        _, back = listener.recvfrom(10)
        listener.sendto(b"world!", back)
        caller.recv(10)


def _raw(client: Host, target: str, protocol: int, payload: bytes) -> None:
    with client.entered():
        sender = socket.socket(_family(target), socket.SOCK_RAW, protocol)
    with sender:
        sender.sendto(payload, (target, 0))


def _both(play: Callable[[Host, Host, str], None]) -> Callable[[Lab], None]:
    """Play over IPv4 and over IPv6."""

    def traffic(lab: Lab) -> None:
        node, client = lab["node"], lab["client"]
        play(node, client, node.address4)
        play(node, client, node.address6)

    return traffic


def _ipv4(play: Callable[[Host, Host, str], None]) -> Callable[[Lab], None]:
    """Play over IPv4 only."""
    return lambda lab: play(lab["node"], lab["client"], lab["node"].address4)


def _refused(node: Host, client: Host, target: str) -> None:
    with client.entered():
        caller = socket.socket(_family(target), socket.SOCK_STREAM)
    with caller:
        caller.connect_ex((target, 9))


def _syn(node: Host, client: Host, target: str) -> None:
    """Send a SYN without an answer, to an unused address."""
    silent = target[:-1] + "9"
    client.run("ip", "neigh", "replace", silent, "lladdr", _link_address(node), "dev", "eth0")
    with client.entered():
        caller = socket.socket(_family(target), socket.SOCK_STREAM)
    with caller:
        caller.setblocking(False)
        caller.connect_ex((silent, 443))


def _link_address(host: Host) -> str:
    words = host.run("ip", "-o", "link", "show", "eth0").stdout.split()
    return words[words.index("link/ether") + 1]


def _ping(node: Host, client: Host, target: str) -> None:
    client.run("ping", "-c", "1", "-W", "2", target)


def _udplite(node: Host, client: Host, target: str) -> None:
    _datagrams(node, client, target, socket.IPPROTO_UDPLITE)


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _sctp_packet(source: int, destination: int, tag: int, chunk: bytes) -> bytes:
    plain = struct.pack(">HHII", source, destination, tag, 0) + chunk
    return plain[:8] + struct.pack("<I", _crc32c(plain)) + plain[12:]


def _sctp(node: Host, client: Host, target: str) -> None:
    """Shake hands by SCTP: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, as raw packets from both ends."""
    source = client.address6 if ":" in target else client.address4
    there, back = (40000, 7777), (7777, 40000)
    init = struct.pack(">BBHIIHHI", 1, 0, 20, 0x11111111, 65535, 1, 1, 1)
    init_ack = struct.pack(">BBHIIHHI", 2, 0, 20, 0x22222222, 65535, 1, 1, 1)
    _raw(client, target, 132, _sctp_packet(*there, 0, init))
    _raw(node, source, 132, _sctp_packet(*back, 0x11111111, init_ack))
    _raw(client, target, 132, _sctp_packet(*there, 0x22222222, struct.pack(">BBHI", 10, 0, 8, 7)))
    _raw(node, source, 132, _sctp_packet(*back, 0x11111111, struct.pack(">BBH", 11, 0, 4)))


def _dccp(node: Host, client: Host, target: str) -> None:
    """Send a DCCP request (RFC 4340 section 5.1): type 0, 48-bit sequence numbers, no checksum coverage."""
    head = struct.pack(">HHBBHBBHI", 40000, 7777, 5, 0, 0, 1, 0, 0, 1) + struct.pack(">I", 42)
    _raw(client, target, 33, head)


def _gre(node: Host, client: Host, target: str) -> None:
    _raw(client, target, 47, struct.pack(">HH", 0, 0x0800) + bytes(20))


def _experimental(node: Host, client: Host, target: str) -> None:
    _raw(client, target, 253, b"payload")


def _through_node(lab: Lab) -> None:
    """Reach the backend through addresses of the node, by DNAT."""
    node, client, backend = lab["node"], lab["client"], lab["backend"]
    for target in (node.address4, node.address6):
        _exchange(backend, client, target, 30080)


def _out_through_node(lab: Lab) -> None:
    """Reach the backend through the node as a router that replaces the source."""
    node, client, backend = lab["node"], lab["client"], lab["backend"]
    client.run("ip", "route", "replace", f"{backend.address4}/32", "via", node.address4, "onlink", "dev", "eth0")
    client.run("ip", "route", "replace", f"{backend.address6}/128", "via", node.address6, "onlink", "dev", "eth0")
    for target in (backend.address4, backend.address6):
        _exchange(backend, client, target)
    _datagrams(backend, client, backend.address4)


def _redirected(lab: Lab) -> None:
    _exchange(lab["node"], lab["client"], lab["node"].address4, 80)


def _everything(lab: Lab) -> None:
    for play in (_exchange, _datagrams, _ping, _sctp, _dccp, _gre, _experimental, _refused):
        _both(play)(lab)


_DNAT = """
table ip n4 { chain p { type nat hook prerouting priority -100; tcp dport 30080 dnat to 10.88.0.3:8080; }
  chain o { type nat hook postrouting priority 100; tcp dport 8080 masquerade; }; }
table ip6 n6 { chain p { type nat hook prerouting priority -100; tcp dport 30080 dnat to [fd88::3]:8080; }
  chain o { type nat hook postrouting priority 100; tcp dport 8080 masquerade; }; }
"""
_SNAT = """
table ip n4 { chain o { type nat hook postrouting priority 100;
    ip protocol tcp snat to 10.88.0.1:50000-50100; ip protocol udp snat to 10.88.0.1; }; }
table ip6 n6 { chain o { type nat hook postrouting priority 100; ip6 daddr fd88::3 masquerade; }; }
"""
_REDIRECT = "table ip n { chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }\n"
_ZONE = """
table inet z { chain p { type filter hook prerouting priority -300; ct zone set 7; }
  chain o { type filter hook output priority -300; ct zone set 7; }; }
"""
_ONE_WAY_ZONE = """
table inet z { chain p { type filter hook prerouting priority -300; iif eth0 ct original zone set 9; }; }
"""
_MARK = "table inet m { chain p { type filter hook prerouting priority 0; ct mark set 0x1f00002a; }; }\n"
_LABEL = """
table inet m { chain p { type filter hook prerouting priority 0; ct label set 5; ct mark set 0x1; }; }
"""
_HELPER = """
table inet h { ct helper ftp { type "ftp" protocol tcp; l3proto inet; }
  chain p { type filter hook prerouting priority 0; tcp dport 8080 ct helper set "ftp"; }; }
"""
_SYNPROXY = """
table inet s { chain r { type filter hook prerouting priority -300; tcp dport 8080 tcp flags syn notrack; }
  chain i { type filter hook input priority 0;
    tcp dport 8080 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm;
    ct state invalid drop; }; }
"""

SCENARIOS = (
    Scenario("tcp", _both(_exchange)),
    Scenario("tcp_counted", _both(_exchange), settings=_COUNT),
    Scenario("tcp_refused", _ipv4(_refused)),
    Scenario("tcp_unanswered", _both(_syn), settings=_FORWARD),
    Scenario("udp", _both(_datagrams)),
    Scenario("udp_counted", _ipv4(_datagrams), settings=_COUNT),
    Scenario("udplite", _ipv4(_udplite)),
    Scenario("icmp", _both(_ping)),
    Scenario("icmp_counted", _ipv4(_ping), settings=_COUNT),
    Scenario("sctp", _both(_sctp)),
    Scenario("dccp", _ipv4(_dccp)),
    Scenario("gre", _ipv4(_gre)),
    Scenario("experimental", _ipv4(_experimental)),
    Scenario("dnat", _through_node, rules=_DNAT, settings=_FORWARD | _COUNT),
    Scenario("snat", _out_through_node, rules=_SNAT, settings=_FORWARD),
    Scenario("redirect", _redirected, rules=_REDIRECT),
    Scenario("zone", _ipv4(_exchange), rules=_ZONE, settings=_COUNT),
    Scenario("zone_one_way", _ipv4(_exchange), rules=_ONE_WAY_ZONE),
    Scenario("mark", _ipv4(_exchange), rules=_MARK),
    Scenario("label", _ipv4(_datagrams), rules=_LABEL, settings=_COUNT),
    Scenario("helper", _ipv4(_exchange), rules=_HELPER),
    Scenario("synproxy", _ipv4(_exchange), rules=_SYNPROXY, settings={"netfilter/nf_conntrack_tcp_loose": "0"}),
    Scenario("dump", _everything, rules=_MARK, is_dump=True),
    Scenario("dump_counted", _everything, rules=_ZONE, settings=_COUNT, is_dump=True),
)
