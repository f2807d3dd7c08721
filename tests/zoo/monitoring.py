"""Monitoring of all kinds, and the operator's own scanners."""

import contextlib
import time

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED, OPEN
from tests.zoo.traffic import ask, attempt_all, connect, exchange, expect, is_reachable, request, reset

_TLS_HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000006c02bc02f009c0100")
_HEAD = b"HEAD / HTTP/1.1\r\nHost: node\r\n\r\n"
_BEHIND = "192.0.2.64/27"


def blackbox_exporter(visit: Visit) -> None:
    """Probe by TCP, HTTP, TLS, DNS and ping; ten probed services are down, and the probes repeat."""
    (exporter,) = visit.outside()
    for _ in range(4):
        for port, payload in ((80, _HEAD), (443, _TLS_HELLO), (22, b""), (25, b"EHLO x\r\n")):
            with connect(visit.world, exporter, visit.address4, port) as link:
                if payload:
                    exchange(link, payload)
        visit.world.run("ping", "-c1", "-W1", "-I", exporter, visit.address4, check=False)
        attempt_all(visit.world, [exporter], [(visit.address4, port) for port in range(7060, 7070)], wait_s=0.5)


def blackbox_exporter_outage(visit: Visit) -> None:
    """Probe 20 services that worked a moment ago, in an outage of all of them, three times."""
    (exporter,) = visit.outside()
    ports = [(visit.address4, port) for port in range(30000, 30020)]
    expect(attempt_all(visit.world, [exporter], ports, wait_s=1), 20, "services reached")
    rule = f"ip saddr {exporter} tcp dport 30000-30019 reject with tcp reset"
    visit.node.nft(f"table ip zoo_outage {{\nchain c {{ type filter hook prerouting priority -99; {rule}; }}\n}}")
    for _ in range(3):
        attempt_all(visit.world, [exporter], ports, wait_s=1)


def nagios(visit: Visit) -> None:
    """Run check_ping, check_tcp, check_ssh, check_smtp, check_imap and check_http a few times."""
    (server,) = visit.outside()
    for _ in range(3):
        visit.world.run("ping", "-c5", "-i0.2", "-W1", "-I", server, visit.address4, check=False)
        for port in (21, 22, 25, 143):
            with connect(visit.world, server, visit.address4, port) as link:
                link.recv(100)
        for port in (80, 443, 3389, 5222, 8000):
            connect(visit.world, server, visit.address4, port).close()


def uptime_monitors(visit: Visit) -> None:
    """Twelve sites ask by GET, HEAD, TLS and ping, and retry at once when an answer is late."""
    for site in visit.outside(12):
        for payload in (_HEAD, _TLS_HELLO, b"GET / HTTP/1.0\r\n\r\n"):
            request(visit.world, site, visit.address4, 80, payload)
        visit.world.run("ping", "-c1", "-W1", "-I", site, visit.address4, check=False)


def ping_sweep(visit: Visit) -> None:
    """One's own monitoring pings the node and 30 addresses behind it, by echo requests only."""
    (source,) = visit.outside()
    sweep = ("nmap", "-n", "-sn", "-PE", "-T4", "--max-retries", "1", "-S", source, "-e", "eth0", _BEHIND)
    visit.world.run(*sweep, visit.address4, timeout_s=30)


def discovery_from_inside(visit: Visit) -> None:
    """An inventory in the LAN discovers hosts: ARP, echo, SYN to 443 and ACK to 80 on 62 addresses of the pods."""
    (source,) = visit.inside(visit.lan)
    sweep = ("nmap", "-n", "-sn", "-PE", "-PS443", "-PA80", "-T4", "--max-retries", "1", "-S", source, "-e", "up0")
    visit.lan.run(*sweep, "10.244.0.0/26", timeout_s=60)


def network_management(visit: Visit) -> None:
    """SNMP, agents and syslog of an internal management station: its polls of 25 agents' ports, half of them closed."""
    (station,) = visit.inside(visit.neighbour)
    for _ in range(2):
        ask(visit.neighbour, station, visit.node.address4, 161)
        ports = [(visit.node.address4, port) for port in (9100, *range(9200, 9224))]
        attempt_all(visit.neighbour, [station], ports, wait_s=1)


def security_team(visit: Visit) -> None:
    """The security team's scanner, whose address is on the allowlist, scans 300 ports."""
    visit.own(visit.allowed)
    scan = ("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-S", visit.allowed, "-e", "eth0", "-p", "1-300")
    visit.world.run(*scan, visit.address4, timeout_s=60)
    expect(is_reachable(visit.world, visit.allowed, visit.address4, 443), 1, "the scanner gets in")


def vulnerability_scanner_inside(visit: Visit) -> None:
    """A vulnerability scanner in the node's own network connects to 60 ports; internal networks are only observed."""
    (scanner,) = visit.inside(visit.neighbour)
    scan = ("nmap", "-n", "-Pn", "-sS", "-T4", "--max-retries", "0", "-S", scanner, "-e", "eth0", "-p", "1-60")
    visit.neighbour.run(*scan, visit.node.address4, timeout_s=60)


def _traceroute_probes(source: str, destination: str, first_port: int, ttls: range) -> list[bytes]:
    """Return what traceroute sends: three datagrams for each hop, each to the next port."""
    return [
        packets.udp((source, 47000), (destination, first_port + number), bytes(32), ttl=ttls[number // 3])
        for number in range(3 * len(ttls))
    ]


def traceroute(visit: Visit) -> None:
    """Trace the route to the node and through it, by UDP and TCP, as people and RIPE Atlas probes do."""
    (source,) = visit.outside()
    behind = visit.behind(2)
    for destination in (visit.address4, *behind):
        probes = _traceroute_probes(source, destination, 33434, range(1, 31))
        packets.send(visit.world, probes, pause_s=0.005)
        syns = [packets.tcp((source, 48000 + ttl), (destination, 443), packets.SYN, ttl=ttl) for ttl in range(1, 31)]
        packets.send(visit.world, syns, pause_s=0.005)
    time.sleep(1)


def mtr(visit: Visit) -> None:
    """Run mtr by TCP for a minute, here at once: 200 SYNs that are never completed, to one port."""
    (source,) = visit.outside()
    syns = [packets.tcp((source, 49000 + number), (visit.address4, 443), packets.SYN) for number in range(190)]
    packets.send(visit.world, syns, pause_s=0.01)


def traceroute_out(visit: Visit) -> None:
    """Trace from the node to ten addresses: ICMP errors come back from the router, and refusals from the end."""
    for destination in visit.outside(10):
        probes = _traceroute_probes(visit.address4, destination, 33434, range(1, 11))
        packets.send(visit.node, probes)


def path_mtu_probes(visit: Visit) -> None:
    """A content network probes the path: 60 pings of all sizes, and ICMP errors that quote our packets."""
    (source,) = visit.outside()
    for size in range(0, 1400, 50):
        packets.send(
            visit.world, [packets.ipv4(source, visit.address4, packets.ICMP, packets.icmp(8, bytes(4 + size)))]
        )
    quoted = packets.tcp((visit.address4, 443), (source, 50000), packets.ACK)[:28]
    too_big = packets.icmp(3, bytes((0, 0, 0x05, 0x00)) + quoted, code=4)
    packets.send(visit.world, [packets.ipv4(source, visit.address4, packets.ICMP, too_big)] * 20)


def smoke_ping(visit: Visit) -> None:
    """SmokePing measures by TCP: 20 connections in a row to each of five services, reset as soon as they are open."""
    (source,) = visit.outside()
    for port in (22, 25, 80, 143, 443):
        for _ in range(20):
            with contextlib.suppress(OSError):
                reset(connect(visit.world, source, visit.address4, port))


_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("monitoring: blackbox exporter", blackbox_exporter, _BOTH),
    Behaviour("monitoring: outage of 20 probed services", blackbox_exporter_outage),
    Behaviour("monitoring: Nagios", nagios, _BOTH),
    Behaviour("monitoring: uptime monitors", uptime_monitors, _BOTH),
    Behaviour("monitoring: SmokePing by TCP", smoke_ping, _BOTH),
    Behaviour("monitoring: ping sweep", ping_sweep, _BOTH),
    Behaviour(
        "monitoring: discovery from the LAN",
        discovery_from_inside,
        expects_observed="an internal source sweeps pods: worth knowing, not worth cutting off",
    ),
    Behaviour(
        "monitoring: management station",
        network_management,
        expects_observed="an internal source asks closed ports: worth knowing, not worth cutting off",
    ),
    Behaviour(
        "monitoring: security team, on the allowlist",
        security_team,
        _BOTH,
        expects_observed="a scan from an address on the allowlist is reported, not banned",
    ),
    Behaviour(
        "monitoring: vulnerability scanner inside",
        vulnerability_scanner_inside,
        expects_observed="a scan from the node's own network is reported, not banned",
    ),
    Behaviour("monitoring: traceroute to and through the node", traceroute, (GUARDED, OPEN)),
    Behaviour("monitoring: mtr by TCP", mtr, _BOTH),
    Behaviour("monitoring: traceroute from the node", traceroute_out, (GUARDED, OPEN)),
    Behaviour("monitoring: path MTU probes", path_mtu_probes, _BOTH),
)
