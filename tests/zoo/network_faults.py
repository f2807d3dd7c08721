"""Networks that change or fail under traffic: reboots, failover, flushed tables, asymmetric routes."""

import threading
import time
from contextlib import ExitStack

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED, OPEN, VIRTUAL4
from tests.zoo.traffic import attempt_all, connect, exchange, expect, is_reachable, reset, together

_SERVICES = (22, 25, 80, 143, 443, 2049, 3389, 5222, 8000, 9100, *range(5000, 5010))


def _in_the_middle(client: str, address: str, ports: tuple[int, ...] | range, first_port: int = 40000) -> list[bytes]:
    """Return segments of connections that the receiver does not know, as they come after a reboot."""
    return [
        packets.tcp((client, first_port + number), (address, port), flags, payload=payload)
        for number, port in enumerate(ports)
        for flags, payload in (
            (packets.ACK, b""),
            (packets.ACK | packets.PSH, b"x" * 40),
            (packets.ACK | packets.FIN, b""),
        )
    ]


def reboot(visit: Visit) -> None:
    """The node comes back under traffic: 20 clients continue connections to 21 services, and get RST.

    Then they connect again, to services of which half are not up yet.
    """
    clients = visit.outside(20)
    for client in clients:
        packets.send(visit.world, _in_the_middle(client, visit.address4, _SERVICES))
    office = clients[0]
    attempt_all(visit.world, [office], [(visit.address4, port) for port in (*_SERVICES, *range(7070, 7080))], wait_s=1)


def reboot_of_passive_services(visit: Visit) -> None:
    """The same for data connections on 40 high ports, on which nothing listens any more."""
    (client,) = visit.outside()
    packets.send(visit.world, _in_the_middle(client, visit.address4, range(45000, 45040)) * 3)


def failover(visit: Visit) -> None:
    """A virtual address moves to the node and away again, with connections open to 20 services on each side."""
    clients = visit.outside(3)
    for holder, other in ((visit.node, visit.neighbour), (visit.neighbour, visit.node)) * 2:
        other.run("ip", "address", "del", f"{VIRTUAL4}/32", "dev", "eth0", check=False)
        holder.run("ip", "address", "add", f"{VIRTUAL4}/32", "dev", "eth0")
        visit.world.run("ip", "route", "replace", VIRTUAL4, "via", holder.address4)
        for client in clients:
            packets.send(visit.world, _in_the_middle(client, VIRTUAL4, range(5000, 5025)))
        attempt_all(visit.world, clients, [(VIRTUAL4, port) for port in range(5000, 5020)] * 3, wait_s=1)
    visit.world.run("ip", "route", "del", VIRTUAL4)
    visit.neighbour.run("ip", "address", "del", f"{VIRTUAL4}/32", "dev", "eth0")


def address_of_other_node(visit: Visit) -> None:
    """Clients still come to the node's second address, from which its 20 services have moved away."""
    (client,) = visit.outside()
    with ExitStack() as stack:
        links = [stack.enter_context(connect(visit.world, client, visit.address4, port)) for port in range(5000, 5020)]
        rule = f"ip saddr {client} tcp dport 5000-5019 reject with tcp reset"
        table = f"zoo_moved_{visit.target}"
        visit.node.nft(f"table ip {table} {{\nchain c {{ type filter hook prerouting priority -99; {rule}; }}\n}}")
        for link in links:
            link.close()
        for _ in range(2):
            attempt_all(visit.world, [client], [(visit.address4, port) for port in range(5000, 5020)], wait_s=1)
        visit.node.run("nft", "delete", "table", "ip", table)


def entries_deleted(visit: Visit) -> None:
    """Entries of the connection table are deleted under traffic: 40 connections are picked up in the middle."""
    (client,) = visit.outside()
    with ExitStack() as stack:
        links = [stack.enter_context(connect(visit.world, client, visit.address4, 443)) for _ in range(40)]
        for _ in range(3):
            visit.node.run("conntrack", "-D", "-s", client, check=False)
            for link in links:
                exchange(link)
        for link in links[:20]:
            reset(link)


def flush(visit: Visit) -> None:
    """The whole connection table is flushed five times under traffic of 20 clients."""
    clients = visit.outside(20)
    with ExitStack() as stack:
        links = [stack.enter_context(connect(visit.world, client, visit.address4, 443)) for client in clients * 5]
        for _ in range(5):
            visit.node.run("conntrack", "-F", check=False)
            for link in links:
                exchange(link)
            attempt_all(visit.world, clients, [(visit.address4, port) for port in range(30000, 30020)], wait_s=0.5)


def restart_of_nodewarden(visit: Visit) -> None:
    """The daemon restarts under traffic, with 100 connections open and others that are being opened."""
    clients = visit.outside(4)
    ends = threading.Event()

    def keep_connecting() -> None:
        while not ends.wait(0.01):
            is_reachable(visit.world, clients[3], visit.address4, 443)

    thread = threading.Thread(target=keep_connecting)
    thread.start()
    try:
        with ExitStack() as stack:
            links = [stack.enter_context(connect(visit.world, one, visit.address4, 443)) for one in clients[:3] * 34]
            for _ in range(2):
                visit.watch.restart()
                for link in links:
                    exchange(link)
    finally:
        ends.set()
        thread.join(10)


def replies_elsewhere(visit: Visit) -> None:
    """Direct server return: the node passes requests on, and the replies to 100 clients' connections go past it."""
    (client,), servers = visit.outside(), visit.behind(12)
    visit.lan.run("ip", "route", "add", client, "via", visit.world.address4, "dev", "eth0")
    targets = [(server, port) for server in servers for port in (80, 443)]
    expect(attempt_all(visit.world, [client], targets, wait_s=3), 24, "connections")
    for server in servers:
        with connect(visit.world, client, server, 80) as link:
            exchange(link)
    expect(together(100, visit.world, client, servers[0], 443), 100, "connections")
    time.sleep(2)


def requests_elsewhere(visit: Visit) -> None:
    """The other way: requests of the LAN go past the node, and it only sees the answers from 20 servers."""
    (client,), servers = visit.behind(), visit.outside(20)
    for server in servers:
        visit.lan.run("ip", "route", "add", server, "via", visit.world.address4, "dev", "eth0")
    targets = [(server, port) for server in servers for port in (80, 443)]
    expect(attempt_all(visit.lan, [client], targets, wait_s=3), 40, "connections")


def lan_replies_elsewhere(visit: Visit) -> None:
    """Requests of a LAN client to 20 servers leave through the node, and the answers come back past it."""
    (client,), servers = visit.behind(), visit.outside(20)
    visit.world.run("ip", "route", "add", client, "via", visit.lan.address4)
    targets = [(server, port) for server in servers for port in (80, 443)]
    expect(attempt_all(visit.lan, [client], targets, wait_s=3), 40, "connections")


def doubled_packets(visit: Visit) -> None:
    """A network doubles and reorders: each SYN to 20 services comes three times, late ones after the connection."""
    (client,) = visit.outside()
    for port in range(5000, 5020):
        link = connect(visit.world, client, visit.address4, port)
        from_port = link.getsockname()[1]
        with link:
            exchange(link)
        late = packets.tcp((client, from_port), (visit.address4, port), packets.SYN)
        packets.send(visit.world, [late] * 3)


_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("fault: reboot under traffic", reboot, _BOTH),
    Behaviour("fault: reboot, data connections on 40 ports", reboot_of_passive_services, _BOTH),
    Behaviour("fault: failover of a virtual address", failover),
    Behaviour("fault: services moved to another node", address_of_other_node, _BOTH),
    Behaviour("fault: entries of the connection table deleted", entries_deleted, _BOTH),
    Behaviour("fault: late and doubled SYNs", doubled_packets, _BOTH),
    Behaviour("fault: direct server return", replies_elsewhere),
    Behaviour("fault: only replies pass the node", requests_elsewhere),
    Behaviour("fault: replies to the LAN go past the node", lan_replies_elsewhere),
    Behaviour("fault: connection table flushed", flush, is_alone=True),
    Behaviour("fault: nodewarden restarts under traffic", restart_of_nodewarden, is_alone=True),
)
