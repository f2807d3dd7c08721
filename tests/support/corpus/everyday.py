"""Negative scenarios: packets that a firewall logs without any attack. None may raise an alert."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.corpus.scenario import (
    NEIGHBOUR,
    NEIGHBOUR4,
    NEIGHBOUR6,
    NODE,
    NODE4,
    NODE6,
    Material,
    Scenario,
    flush_connections,
)
from tests.support.corpus.to_many import TO_MANY
from tests.support.lab import Host, Lab

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time left: close() sends RST
_FAMILIES = ((socket.AF_INET, NODE4, NEIGHBOUR4), (socket.AF_INET6, NODE6, NEIGHBOUR6))


def _ping(lab: Lab) -> None:
    """Ping normally, with large fragmented packets, and as a flood."""
    ping = lab[NEIGHBOUR].run
    for address in (NODE4, NODE6):
        ping("ping", "-c", "3", "-i", "0.01", "-W", "0.05", address, check=False)
        ping("ping", "-c", "3", "-i", "0.01", "-W", "0.05", "-s", "4000", address, check=False)
        ping("ping", "-f", "-i", "0.002", "-c", "150", "-W", "0.05", address, check=False)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Keep quiet."""


class _WebServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6  # takes IPv4 too
    request_queue_size = 512


@contextlib.contextmanager
def _web_server(host: Host, port: int) -> Iterator[None]:
    with host.entered():
        server = _WebServer(("::", port), _Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _busy_server(lab: Lab) -> None:
    """Serve three hundred short connections whose clients close after the firewall has forgotten them."""
    node, neighbour = lab[NODE], lab[NEIGHBOUR]
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
    with _web_server(node, 80), contextlib.ExitStack() as stack:
        clients = []
        for family, server, _ in _FAMILIES:
            with neighbour.entered():
                clients += [stack.enter_context(socket.socket(family)) for _ in range(150)]
            for client in clients[-150:]:
                client.connect((server, 80))
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(4096):  # until the server has closed its side
                    pass
        flush_connections(node)
        _close_in_turns(clients)


def _busy_client(lab: Lab) -> None:
    """Open three hundred connections from the node; the servers' last packets arrive at as many of its ports."""
    node, neighbour = lab[NODE], lab[NEIGHBOUR]
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
    with contextlib.ExitStack() as stack:
        accepted = []
        for family, _, server in _FAMILIES:
            with neighbour.entered():
                listener = stack.enter_context(socket.socket(family))
            listener.bind((server, 8080))
            listener.listen(200)
            with node.entered():
                clients = [stack.enter_context(socket.socket(family)) for _ in range(150)]
            for client in clients:
                client.connect((server, 8080))
                accepted.append(stack.enter_context(listener.accept()[0]))
        flush_connections(node)
        for connection in accepted[::5]:
            connection.sendall(b"late data")
        _close_in_turns(accepted)


def _close_in_turns(connections: Iterable[socket.socket]) -> None:
    """Close every other connection by FIN, the rest by RST."""
    for number, connection in enumerate(connections):
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.close()


def _late_resolver(lab: Lab) -> None:
    """Query a resolver that answers too late, from sixty ports of a wide range and sixty chosen by the kernel."""
    for family, node, server in _FAMILIES:
        _answer_late(lab, family, node, server, 53, [*range(2000, 62000, 1000), *[0] * 60])


def _late_service(lab: Lab) -> None:
    """Query a service on a port above 1023 that answers too late, from sixty ports chosen by the kernel."""
    for family, node, server in _FAMILIES:
        _answer_late(lab, family, node, server, 8600, [0] * 60)


def _answer_late(lab: Lab, family: int, node: str, server: str, port: int, client_ports: list[int]) -> None:
    with contextlib.ExitStack() as stack:
        with lab[NEIGHBOUR].entered():
            service = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        service.bind((server, port))
        service.settimeout(10)
        with lab[NODE].entered():
            clients = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in client_ports]
        for client, client_port in zip(clients, client_ports, strict=True):
            client.bind((node, client_port))
            client.sendto(b"query", (server, port))
        queries = [service.recvfrom(64) for _ in clients]
        flush_connections(lab[NODE])
        for _, asker in queries:
            service.sendto(b"answer", asker)


def _monitoring_probe(lab: Lab) -> None:
    """Check the same three closed ports over and over."""
    for family, node, _ in _FAMILIES:
        for _ in range(40):
            for port in (22, 5666, 9100):
                with lab[NEIGHBOUR].entered(), socket.socket(family) as probe:
                    probe.setblocking(False)
                    probe.connect_ex((node, port))


def _traceroute(lab: Lab) -> None:
    """Trace the route to the node like traceroute(8): UDP, the next port for each probe, from 33434."""
    for family, node, _ in _FAMILIES:
        level, option = (
            (socket.IPPROTO_IP, socket.IP_TTL)
            if family == socket.AF_INET
            else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        )
        with lab[NEIGHBOUR].entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            for probe in range(30):
                sender.setsockopt(level, option, probe // 3 + 1)
                sender.sendto(bytes(32), (node, 33434 + probe))


def _icmp_errors(lab: Lab) -> None:
    """Receive ICMP errors that quote sixty packets which the node sent and the firewall did not track."""
    lab[NODE].nft("table inet untracked { chain output { type filter hook output priority raw; notrack; }; }")
    for setting in ("net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratemask=0"):  # limit no kind of error
        lab[NEIGHBOUR].run("sysctl", "-qw", setting)
    for family, _, neighbour in _FAMILIES:
        with lab[NODE].entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            for port in range(9000, 9060):
                sender.sendto(b"closed there", (neighbour, port))


EVERYDAY = [
    *TO_MANY,
    Scenario("ping", _ping, Material(lines=300)),
    Scenario("busy_server", _busy_server, Material(lines=300)),
    Scenario("busy_client", _busy_client, Material(lines=300, ports=140)),
    Scenario("late_resolver", _late_resolver, Material(lines=200, ports=100)),
    Scenario("late_service", _late_service, Material(lines=100, ports=55)),
    Scenario("monitoring_probe", _monitoring_probe, Material(lines=200, ports=3)),
    Scenario("traceroute", _traceroute, Material(lines=60, ports=30)),
    Scenario("icmp_errors", _icmp_errors, Material(lines=100)),
]
