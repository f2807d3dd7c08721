"""Scenarios for the decoder: every format in which the kernel logs a packet, as in formats/expected.yaml."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from monitor.model.protocols import (
    PROTOCOL_AH,
    PROTOCOL_DSTOPTS,
    PROTOCOL_ESP,
    PROTOCOL_FRAGMENT,
    PROTOCOL_GRE,
    PROTOCOL_HOPOPTS,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_IGMP,
    PROTOCOL_ROUTING,
    PROTOCOL_SCTP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    PROTOCOL_UDPLITE,
    TCP_ACK,
    TCP_SYN,
)
from tests.support.corpus.packets import (
    ARP,
    extension,
    fragment_header,
    icmp,
    ipv4,
    ipv6,
    send,
    tcp,
    udp,
)
from tests.support.corpus.scenario import ATTACKER4, ATTACKER6, MACS, NEIGHBOUR4, NODE, NODE4, NODE6, new_lab
from tests.support.lab import Host, Lab

Traffic: TypeAlias = Callable[[Lab], None]


@dataclass(frozen=True)
class Format:
    """Traffic that one kind of log rule logs; every line has this prefix."""

    name: str
    prefix: str
    rules: str
    """Loaded into the node; PREFIX stands for the prefix."""
    traffic: Traffic


def play_format(form: Format) -> None:
    """Run it in a new lab."""
    with new_lab() as lab:
        lab[NODE].nft(form.rules.replace("PREFIX", form.prefix))
        form.traffic(lab)


def _prerouting(statement: str) -> str:
    """Return rules that log the attacker's packets before reassembly."""
    return f"""table inet formats {{ chain seen {{
        type filter hook prerouting priority raw; policy accept;
        ip saddr 10.88.0.2 {statement}
        ip6 saddr fd88::2 meta l4proto != icmpv6 {statement}
        icmpv6 type != {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 saddr fd88::2 {statement}
    }}; }}"""


_PLAIN = _prerouting('log prefix "PREFIX"')
_ALL = _prerouting('log prefix "PREFIX" flags all')


def _frames(*packets: bytes) -> Traffic:
    return lambda lab: send(lab, packets)


_SYN_OPTIONS = bytes.fromhex("020405b40402080a000000010000000001030307")
_OPENING = (
    ipv4(PROTOCOL_TCP, tcp(40000, 22, TCP_SYN, _SYN_OPTIONS)),
    ipv6(PROTOCOL_TCP, tcp(40000, 22, TCP_SYN, _SYN_OPTIONS)),
    ipv4(PROTOCOL_UDP, udp(40000, 161)),
    ipv6(PROTOCOL_UDP, udp(40000, 161)),
)
_STYLES = {
    "ufw": "[UFW BLOCK] ",
    "firewalld": "filter_IN_public_REJECT: ",
    "calico": "calico-packet: ",
    "kube_router": "KUBE-ROUTER-DROP: ",
    "shorewall": "Shorewall:net-fw:DROP:",
    "no_space": "DROPPED",
    "looks_like_fields": "IN=drop OUT=none SRC=1.2.3.4 ",
}


def _quoting() -> tuple[bytes, ...]:
    """Return ICMP errors about packets that the node supposedly sent."""
    whole_udp = ipv4(PROTOCOL_UDP, udp(50000, 53), source=NODE4, destination=ATTACKER4)
    whole_tcp = ipv4(PROTOCOL_TCP, tcp(50001, 443, TCP_SYN), source=NODE4, destination=ATTACKER4)
    udp6 = ipv6(PROTOCOL_UDP, udp(50000, 53), source=NODE6, destination=ATTACKER6)
    tcp6 = ipv6(PROTOCOL_TCP, tcp(50001, 443, TCP_SYN), source=NODE6, destination=ATTACKER6)
    echo = ipv4(PROTOCOL_ICMP, icmp(8, 0, b"\0\1\0\2", b"ping"), source=NODE4, destination=ATTACKER4)
    gateway = socket.inet_aton(NEIGHBOUR4)
    return (
        ipv4(PROTOCOL_ICMP, icmp(3, 3, bytes(4), whole_udp)),
        ipv4(PROTOCOL_ICMP, icmp(3, 4, struct.pack("!HH", 0, 1400), whole_tcp)),
        ipv4(PROTOCOL_ICMP, icmp(3, 1, bytes(4), whole_tcp[:28])),  # the header and eight bytes, the minimum in RFC 792
        ipv4(PROTOCOL_ICMP, icmp(11, 0, bytes(4), echo)),
        ipv4(PROTOCOL_ICMP, icmp(5, 1, gateway, whole_udp)),
        ipv4(PROTOCOL_ICMP, icmp(12, 0, b"\x14\0\0\0", whole_udp)),
        ipv4(PROTOCOL_ICMP, icmp(3, 3, bytes(4), whole_udp[:12])),
        ipv6(PROTOCOL_ICMPV6, icmp(1, 4, bytes(4), udp6)),
        ipv6(PROTOCOL_ICMPV6, icmp(2, 0, struct.pack("!I", 1280), tcp6)),
        ipv6(PROTOCOL_ICMPV6, icmp(3, 0, bytes(4), tcp6)),
        ipv6(PROTOCOL_ICMPV6, icmp(4, 1, struct.pack("!I", 40), udp6)),
    )


def _extensions() -> tuple[bytes, ...]:
    """Return IPv6 packets with each extension header that the kernel's logger knows."""
    ah = struct.pack("!BBHII", PROTOCOL_TCP, 4, 0, 0x100, 1) + bytes(12)
    return (
        ipv6(PROTOCOL_HOPOPTS, extension(PROTOCOL_TCP) + tcp(40000, 23, TCP_SYN)),
        ipv6(PROTOCOL_HOPOPTS, extension(PROTOCOL_DSTOPTS) + extension(PROTOCOL_UDP) + udp(40000, 69)),
        ipv6(PROTOCOL_ROUTING, bytes((PROTOCOL_TCP, 0, 4, 0, 0, 0, 0, 0)) + tcp(40000, 24, TCP_SYN)),
        ipv6(PROTOCOL_FRAGMENT, fragment_header(PROTOCOL_UDP, 0, more=True) + udp(40000, 70, bytes(1000))),
        ipv6(PROTOCOL_FRAGMENT, fragment_header(PROTOCOL_UDP, 1008, more=False) + bytes(500)),
        ipv6(PROTOCOL_AH, ah + tcp(40000, 25, TCP_SYN)),
        ipv6(PROTOCOL_ESP, struct.pack("!II", 0x2A, 1) + bytes(32)),
        ipv6(59, b""),
    )


def _protocols() -> tuple[bytes, ...]:
    """Return packets of protocols other than TCP, UDP and ICMP."""
    ah = struct.pack("!BBHII", PROTOCOL_TCP, 4, 0, 0x100, 1) + bytes(12)
    return (
        ipv4(PROTOCOL_SCTP, tcp(40000, 36412, 0)),
        ipv4(PROTOCOL_GRE, bytes(12)),
        ipv4(PROTOCOL_UDPLITE, udp(40000, 5000)),
        ipv4(PROTOCOL_ESP, struct.pack("!II", 0x2A, 1) + bytes(32)),
        ipv4(PROTOCOL_AH, ah + tcp(40000, 22, TCP_SYN)),
        ipv4(PROTOCOL_IGMP, b"\x16\0\0\0" + socket.inet_aton("239.1.1.1"), options=b"\x94\x04\0\0"),
        ipv4(PROTOCOL_ICMP, icmp(8, 0, b"\0\1\0\2", b"ping")),
        ipv6(PROTOCOL_ICMPV6, icmp(128, 0, b"\0\1\0\2", b"ping")),
        ipv6(PROTOCOL_SCTP, tcp(40000, 36412, 0)),
    )


def _forward(lab: Lab) -> None:
    """Pass one packet of each family through the node."""
    node = lab[NODE]
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    node.run("ip", "route", "add", "10.99.0.0/24", "via", NEIGHBOUR4)
    node.run("ip", "route", "add", "fd99::/64", "via", "fd88::3")
    send(
        lab,
        (
            ipv4(PROTOCOL_TCP, tcp(40000, 6443, TCP_SYN), destination="10.99.0.5"),
            ipv6(PROTOCOL_UDP, udp(40000, 8472), destination="fd99::5"),
        ),
    )


def _bridge(lab: Lab) -> None:
    """Log on the switch, where netfilter sees bridged packets: the ports are PHYSIN and PHYSOUT."""
    switch = Host("switch", lab.switch, 0)
    switch.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1")
    switch.run("bridge", "fdb", "replace", MACS[NODE], "dev", "p0", "master", "static")  # else flooded
    switch.nft("""table inet formats { chain forward {
        type filter hook forward priority filter; policy accept;
        th dport { 22, 161 } log prefix "corpus-bridge "
    }; }""")
    send(lab, _OPENING)


def _output(lab: Lab) -> None:
    """Send one datagram as root and one as nobody from the node."""
    lab[NODE].run("sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40000")
    for user in ("0", "65534"):
        lab[NODE].run(
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            "bash",
            "-c",
            f"echo knock > /dev/udp/{NEIGHBOUR4}/514",
        )


def _loopback(lab: Lab) -> None:
    """Send to the node's own loopback, in each family."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with lab[NODE].entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((address, 40000))
            sender.sendto(b"knock", (address, 514))


def _tunnel(lab: Lab) -> None:
    """Receive on an interface without link-layer addresses, such as WireGuard's."""
    with contextlib.ExitStack() as stack:
        with lab[NODE].entered():
            tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, tunnel)
            tun, no_header, set_interface = 0x0001, 0x1000, 0x400454CA  # linux/if_tun.h
            fcntl.ioctl(tunnel, set_interface, struct.pack("16sH22x", b"tun0", tun | no_header))
        lab[NODE].run("ip", "link", "set", "tun0", "up")
        for packet in _OPENING:
            os.write(tunnel, packet)


def _arp(lab: Lab) -> None:
    """Request the link address of the node."""
    asker = bytes.fromhex("020000000002") + socket.inet_aton(ATTACKER4)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + asker + bytes(6) + socket.inet_aton(NODE4)
    send(lab, [request], ethertype=ARP)


def _flag_sets() -> tuple[bytes, ...]:
    """Return TCP headers with each flag alone, none, and all nine."""
    masks = (0, *(1 << bit for bit in range(9)), 0x029, 0x1FF)
    return tuple(ipv4(PROTOCOL_TCP, tcp(40000, 1000 + number, mask)) for number, mask in enumerate(masks))


def _cut_short() -> tuple[bytes, ...]:
    """Return packets that end inside their headers."""
    return (
        ipv4(PROTOCOL_TCP, tcp(40000, 22, TCP_SYN)[:8]),
        ipv4(PROTOCOL_UDP, udp(40000, 53)[:4]),
        ipv6(PROTOCOL_TCP, tcp(40000, 22, TCP_SYN)[:12]),
    )


def _formats() -> list[Format]:
    first, second = (
        ipv4(PROTOCOL_UDP, udp(40000, 69, bytes(1472)), more=True),
        ipv4(PROTOCOL_UDP, bytes(500), fragment=1480),
    )
    ingress = """table netdev formats { chain seen {
        type filter hook ingress device eth0 priority 0; policy accept;
        vlan id 7 log prefix "PREFIX" flags all
    }; }"""
    return [
        Format("plain", "corpus-plain ", _PLAIN, _frames(*_OPENING)),
        Format("flags_all", "corpus-all ", _ALL, _frames(*_OPENING)),
        *(Format(f"prefix_{name}", prefix, _PLAIN, _frames(*_OPENING[:2])) for name, prefix in _STYLES.items()),
        Format("tcp_flags", "corpus-flags ", _PLAIN, _frames(*_flag_sets())),
        Format("mark", "corpus-mark ", _prerouting('meta mark set 0x2a log prefix "PREFIX"'), _frames(*_OPENING)),
        Format("icmp_errors", "corpus-errors ", _PLAIN, _frames(*_quoting())),
        Format("protocols", "corpus-protocols ", _PLAIN, _frames(*_protocols())),
        Format("extensions", "corpus-extensions ", _PLAIN, _frames(*_extensions())),
        Format("extensions_all", "corpus-extensions-all ", _ALL, _frames(*_extensions())),
        Format("fragments", "corpus-fragments ", _PLAIN, _frames(first, second)),
        Format(
            "options",
            "corpus-options ",
            _ALL,
            _frames(ipv4(PROTOCOL_TCP, tcp(40000, 22, TCP_SYN | TCP_ACK), options=b"\x07\x07\x04\0\0\0\0\0")),
        ),
        Format("vlan", "corpus-vlan ", ingress, lambda lab: send(lab, _OPENING, vlan_id=7)),
        Format(
            "forward",
            "corpus-forward ",
            """table inet formats { chain forward {
            type filter hook forward priority filter; policy accept; log prefix "PREFIX"; }; }""",
            _forward,
        ),
        Format("bridge", "corpus-bridge ", "", _bridge),
        Format(
            "output",
            "corpus-output ",
            """table inet formats { chain output {
            type filter hook output priority filter; policy accept;
            udp dport 514 log prefix "PREFIX" flags skuid; }; }""",
            _output,
        ),
        Format(
            "loopback",
            "corpus-loopback ",
            """table inet formats { chain seen {
            type filter hook prerouting priority raw; policy accept; iif lo udp dport 514 log prefix "PREFIX"; }; }""",
            _loopback,
        ),
        Format(
            "tunnel",
            "corpus-tunnel ",
            """table inet formats { chain seen {
            type filter hook prerouting priority raw; policy accept; iifname tun0 log prefix "PREFIX"; }; }""",
            _tunnel,
        ),
        Format(
            "refused_arp",
            "corpus-arp ",
            """table arp formats { chain seen {
            type filter hook input priority 0; policy accept; log prefix "PREFIX"; }; }""",
            _arp,
        ),
        Format("refused_short", "corpus-short ", _PLAIN, _frames(*_cut_short())),
    ]


FORMATS = _formats()
