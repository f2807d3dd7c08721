"""Forgers on the network: packets with somebody else's source address, and pods that play along.

Each forger picks a victim that does nothing wrong. Whatever arrives, the victim must not be banned on proven strength.
Where a shun of the victim is possible, the forger says so, and docs/threat-model.md has the numbers.
"""

import socket
import time
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from tests.forgers.packets import unreachable, vxlan
from tests.support.lab import Host
from tests.zoo import traffic
from tests.zoo.behaviour import Visit
from tests.zoo.packets import ACK, FIN, ICMP, PSH, RST, SYN, icmp, ipv4, send, tcp, udp
from tests.zoo.topology import EARLY_POD, EARLY_PORTS, GUARDED, NODE4, OPEN

KNOWN = 0x1000_0000
"""The number that an accomplice uses: the forger need not see it."""
_HANDSHAKES = 25
"""Twice as many are over the thresholds of `tests.forgers.runner`, once are not."""
_COUNTED_S = 1.5
"""When handshakes count as evidence."""
_SILENT_PORT = 7777
_PAUSE_S = 0.002

Run: TypeAlias = Callable[[Visit], None]


class Forger(msgspec.Struct, frozen=True):
    """One attack on a third party."""

    name: str
    run: Run
    shuns: str = ""
    """Why a shun of the victim is possible; empty if it must not happen."""
    target: str = OPEN


def _client(visit: Visit) -> str:
    """Return the address of a client that completed 21 connections."""
    (client,) = visit.outside()
    for _ in range(21):
        traffic.request(visit.world, client, visit.address4, 80)
    return client


def _leave_open(visit: Visit, victim: str) -> None:
    send(visit.world, [tcp((victim, 41_000 + n), (visit.address4, 443), SYN) for n in range(300)], pause_s=_PAUSE_S)


def _probe(visit: Visit, victim: str, count: int, flags: int = SYN, first: int = 2000) -> None:
    packets = (tcp((victim, 40_000 + port), (visit.address4, port), flags) for port in range(first, first + count))
    send(visit.world, packets, pause_s=_PAUSE_S)


def scan_as_a_stranger(visit: Visit) -> None:
    """Send 15 first packets in the name of an address that the node has never seen."""
    (victim,) = visit.silent()
    _probe(visit, victim, 15)


def scan_as_a_client(visit: Visit) -> None:
    """Send 60 first packets in the name of a client with 21 connections."""
    victim = _client(visit)
    time.sleep(1.0)
    _probe(visit, victim, 60)


def scan_widely_as_a_client(visit: Visit) -> None:
    """Send 300 first packets in the name of a client with 21 connections."""
    victim = _client(visit)
    time.sleep(1.0)
    _probe(visit, victim, 300)


def scan_without_syn(visit: Visit) -> None:
    """Send NULL, FIN, Xmas and ACK probes in the name of a client."""
    victim = _client(visit)
    for number, flags in enumerate((0, FIN, FIN | PSH | 0x20, ACK)):
        _probe(visit, victim, 60, flags, first=3000 + 100 * number)


def answered_by_a_pod(visit: Visit) -> None:
    """Open connections to a NodePort whose pod answers with a number that the forger knows."""
    (victim,) = visit.silent()
    # its own TCP must not answer first
    rule = "type filter hook prerouting priority raw; tcp dport 9000 drop"
    visit.pods.nft(f"table ip accomplice {{ chain own {{ {rule}; }}; }}")
    _open(visit, victim, (visit.address4, EARLY_PORTS[0]), (EARLY_POD, 9000))


def answered_in_the_name_of_the_node(visit: Visit) -> None:
    """Open connections to a port of the node that stays silent; a pod answers with the node's address."""
    (victim,) = visit.silent()
    node = NODE4[OPEN], _SILENT_PORT
    with visit.node.entered():
        listener = socket.create_server(node)
    with listener:
        # what TCP-MD5 does to strangers: the packet passes the firewall, and nothing answers
        _drop_everything(listener)
        _open(visit, victim, node, node)


def connect_often(visit: Visit) -> None:
    """Complete as many connections under one's own address: the control, which is proven."""
    (source,) = visit.outside()
    for _ in range(2):
        for _ in range(_HANDSHAKES):
            traffic.is_reachable(visit.world, source, visit.address4, 80)
        time.sleep(_COUNTED_S)


def _open(visit: Visit, victim: str, called: tuple[str, int], answering: tuple[str, int]) -> None:
    """Forge connections, wait until they count, forge as many again."""
    for turn in range(2):
        for number in range(_HANDSHAKES):
            _handshake(visit, visit.pods, (victim, 20_000 + 100 * turn + number), called, answering)
        time.sleep(_COUNTED_S)
    listed = visit.node.run("conntrack", "-L", "-p", "tcp", "--orig-src", victim).stdout
    if listed.count("ESTABLISHED") < _HANDSHAKES:
        raise RuntimeError(f"only {listed.count('ESTABLISHED')} handshakes were forged")


def _handshake(
    visit: Visit, accomplice: Host, victim: tuple[str, int], called: tuple[str, int], answering: tuple[str, int]
) -> None:
    """Forge both packets of the victim; the accomplice sends what is between them."""
    send(visit.world, [tcp(victim, called, SYN, sequence=1000)], pause_s=0.005)
    send(accomplice, [tcp(answering, victim, SYN | ACK, sequence=KNOWN, acknowledged=1001)], pause_s=0.005)
    send(visit.world, [tcp(victim, called, ACK, sequence=1001, acknowledged=KNOWN + 1)], pause_s=0.005)


def _drop_everything(listener: socket.socket) -> None:
    """Attach a classic BPF program that drops every packet (socket(7), SO_ATTACH_FILTER)."""
    import ctypes

    program = ctypes.create_string_buffer(b"\x06\x00\x00\x00\x00\x00\x00\x00")  # BPF_RET | BPF_K, 0
    listener.setsockopt(socket.SOL_SOCKET, 26, b"\x01\x00" + bytes(6) + ctypes.addressof(program).to_bytes(8, "little"))


def guess_numbers(visit: Visit) -> None:
    """Open connections, and guess the number of the node's answer blindly."""
    (victim,) = visit.silent()
    called = visit.address4, 80
    for port in range(30):
        source = victim, 22_000 + port
        send(visit.world, [tcp(source, called, SYN, sequence=1000)], pause_s=_PAUSE_S)
        send(visit.world, [tcp(source, called, ACK, sequence=1001, acknowledged=guess << 25) for guess in range(128)])


def leave_half_open(visit: Visit) -> None:
    """Send 300 first packets to an open port in the name of a client, whose host answers with RST."""
    _leave_open(visit, _client(visit))


def leave_half_open_as_a_stranger(visit: Visit) -> None:
    """Send 300 first packets to an open port in the name of an address that does not answer."""
    (victim,) = visit.silent()
    _leave_open(visit, victim)


def tunnel(visit: Visit) -> None:
    """Send 4,000 VXLAN packets under one's own address, which hold packets of the victim."""
    (victim,) = visit.silent()
    (sender,) = visit.outside()
    inner = tcp((victim, 40_000), (visit.address4, 22), SYN)
    visit.owned.discard(sender)  # to shun the sender is right
    send(visit.world, [vxlan((sender, 5000 + n % 100), visit.address4, inner) for n in range(4000)])


def quote(visit: Visit) -> None:
    """Send ICMP errors that quote packets of the victim."""
    (victim,) = visit.silent()
    (sender,) = visit.outside()
    visit.owned.discard(sender)
    for port in range(3000, 3100):
        quoted = tcp((victim, 40_000), (visit.address4, port), SYN)
        send(visit.world, [ipv4(sender, visit.address4, ICMP, icmp(3, unreachable(quoted), code=1))])


def reset_connections(visit: Visit) -> None:
    """Send RST and late ACK packets in the name of a client."""
    (victim,) = visit.outside()
    for flags in (RST, RST | ACK, ACK, FIN | ACK):
        _probe(visit, victim, 60, flags, first=4000)


def send_udp(visit: Visit) -> None:
    """Send datagrams to 60 closed ports in the name of an address that the node has never seen."""
    (victim,) = visit.silent()
    packets = [udp((victim, 40_000), (visit.address4, port), b"?") for port in range(2000, 2060)]
    send(visit.world, packets, pause_s=_PAUSE_S)


def send_answers(visit: Visit) -> None:
    """Send what looks like late answers of a resolver to ports of the node's clients."""
    (victim,) = visit.silent()
    send(visit.world, [udp((victim, 53), (visit.address4, port), b"!") for port in range(11_000, 11_060)])


FORGERS = (
    Forger("scan as a stranger", scan_as_a_stranger, "15 first packets of anybody are a scan"),
    Forger("scan as a stranger, logged", scan_as_a_stranger, "15 first packets of anybody are a scan", GUARDED),
    Forger("scan as a client", scan_as_a_client),
    Forger("scan as a client, logged", scan_as_a_client, target=GUARDED),
    Forger("scan widely as a client", scan_widely_as_a_client, "75 first packets shun a client for ten minutes"),
    Forger("NULL, FIN, Xmas and ACK scan as a client", scan_without_syn),
    Forger("handshakes that a pod answers", answered_by_a_pod, "a pod and a forger can open connections as anybody"),
    Forger(
        "handshakes that a pod answers as the node",
        answered_in_the_name_of_the_node,
        "a pod and a forger can open connections as anybody",
    ),
    Forger("handshakes by guessing", guess_numbers, "attempts that are never completed"),
    Forger("half-open connections as a client", leave_half_open),
    Forger(
        "half-open connections as a stranger", leave_half_open_as_a_stranger, "200 half-open connections of anybody"
    ),
    Forger("packets in a tunnel", tunnel),
    Forger("ICMP errors that quote a packet", quote),
    Forger("RST and late packets", reset_connections),
    Forger("datagrams as a stranger", send_udp, "distinct ports of anybody are a scan"),
    Forger("answers of a resolver", send_answers),
)

CONTROL = Forger("control: many connections, not forged", connect_often, "they are proven")
