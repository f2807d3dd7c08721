"""Firewalls that log what they accept, or late and harmless packets."""

import time

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Run, Visit
from tests.zoo.topology import GUARDED, LOGGED_PORTS
from tests.zoo.traffic import connect, datagram_socket, exchange, expect, request, say


def _accepted(port: int) -> Run:
    """Return a behaviour: a client calls a service of twelve pods, whose accepted connections are logged."""

    def run(visit: Visit) -> None:
        (client,) = visit.outside()
        visit.own(*(f"10.244.0.{number}" for number in range(110, 122)))
        answers = sum(b"200 OK" in request(visit.world, client, visit.address4, port) for _ in range(36))
        expect(answers, 36, "requests answered")

    return run


def late_answers(visit: Visit) -> None:
    """Servers answer 60 UDP requests of the node when it does not wait any more: the firewall drops and logs.

    The node's ports are from net.ipv4.ip_local_port_range, which is not the default.
    """
    for server in visit.outside(3):
        made = []
        for port in (443, 3478, 20000) * 20:
            one = datagram_socket(visit.node, visit.address4)
            made.append((one.getsockname()[1], port))
            one.sendto(b"?", (server, port))
            one.close()
        time.sleep(1)
        visit.node.run("conntrack", "-D", "-p", "udp", "-d", server, check=False)  # as if half a minute had passed
        for node_port, server_port in made:
            answer = packets.udp((server, server_port), (visit.address4, node_port), b"late")
            packets.send(visit.world, [answer])


def late_segments(visit: Visit) -> None:
    """Clients send FIN, RST and data for 60 connections that the node forgot: dropped and logged."""
    for client in visit.outside(3):
        late = [
            packets.tcp((client, 40000 + port), (visit.address4, port), flags)
            for port in range(1000, 1020)
            for flags in (packets.ACK, packets.ACK | packets.FIN, packets.RST, packets.ACK | packets.PSH)
        ]
        packets.send(visit.world, late)


def quic_fallback(visit: Visit) -> None:
    """Browsers of 30 visitors try HTTP/3 first, which the firewall drops and logs, and fall back to TCP."""
    for visitor in visit.outside(30):
        say(visit.world, visitor, visit.address4, [443] * 4, b"\xc3" + bytes(1199), from_port=50000)
        request(visit.world, visitor, visit.address4, 443)


def ident_and_friends(visit: Visit) -> None:
    """A mail server asks back: ident, submission, IMAPS and two more ports that are closed here, on each delivery."""
    (server,) = visit.outside()
    for _ in range(3):
        with connect(visit.world, server, visit.address4, 25) as link:
            exchange(link, b"EHLO mx.example\r\n")
        for port in (113, 465, 587, 993):
            packets.send(visit.world, [packets.tcp((server, 33000), (visit.address4, port), packets.SYN)])


def port_knocking(visit: Visit) -> None:
    """Administrators knock on four ports before they log in."""
    for administrator in visit.outside(3):
        for port in (7101, 8202, 9303, 1404) * 3:
            packets.send(visit.world, [packets.tcp((administrator, 34000), (visit.address4, port), packets.SYN)])
        connect(visit.world, administrator, visit.address4, 22).close()


def wrong_port(visit: Visit) -> None:
    """A user tries a few ports by hand, because the address in the documentation has a wrong one."""
    (user,) = visit.outside()
    for port in (8080, 8443, 8888, 3000, 81):
        packets.send(visit.world, [packets.tcp((user, 35000), (visit.address4, port), packets.SYN)] * 3)
    request(visit.world, user, visit.address4, 443)


_BOTH = (GUARDED, "open")
BEHAVIOURS = (
    *(
        Behaviour(f"log: accepted connections, prefix {prefix.split()[0]}", _accepted(port))
        for port, prefix in LOGGED_PORTS.items()
    ),
    Behaviour("log: late UDP answers, changed port range", late_answers, _BOTH),
    Behaviour("log: late segments of closed connections", late_segments, _BOTH),
    Behaviour("log: HTTP/3 tried first", quic_fallback, _BOTH),
    Behaviour("log: mail server asks back", ident_and_friends, _BOTH),
    Behaviour("log: port knocking", port_knocking, _BOTH),
    Behaviour("log: a few wrong ports by hand", wrong_port, _BOTH),
)
