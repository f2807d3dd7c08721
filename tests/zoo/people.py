"""People and their programs outside: browsers, telephones, mail programs, many behind one address."""

import contextlib
import time
from contextlib import ExitStack

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED, OPEN
from tests.zoo.traffic import (
    ask,
    attempt_all,
    connect,
    exchange,
    expect,
    is_reachable,
    request,
    reset,
    say,
    start_connecting,
    together,
)

_TLS_PORT = 443
_KNOWN_S = 1.5
"""What the daemon reads in one go has one time: on a busy machine handshakes would be no older than the scan."""


def one_address_for_500(visit: Visit) -> None:
    """500 people behind one NAT hold a connection each; some break off, some vanish, and they come again."""
    (address,) = visit.outside()
    expect(together(500, visit.world, address, visit.address4, _TLS_PORT), 500, "answers")
    for number in range(300):
        link = connect(visit.world, address, visit.address4, _TLS_PORT)
        if number % 10 == 0:
            reset(link)
        link.close()
    aborted = (packets.tcp((address, 61000 + number), (visit.address4, _TLS_PORT), packets.SYN) for number in range(20))
    packets.send(visit.world, aborted)


def mobile_roaming(visit: Visit) -> None:
    """A telephone changes its address 20 times within connections; the node answers what it does not know with RST."""
    addresses = visit.outside(20)
    for number, address in enumerate(addresses):
        with connect(visit.world, address, visit.address4, _TLS_PORT) as link:
            exchange(link)
            port = link.getsockname()[1]
            roamed = addresses[(number + 1) % len(addresses)]
            data = packets.tcp(
                (roamed, port), (visit.address4, _TLS_PORT), packets.ACK | packets.PSH, payload=b"x" * 50
            )
            packets.send(visit.world, [data] * 5)


def happy_eyeballs(visit: Visit) -> None:
    """A browser tries IPv6 and IPv4 together 60 times, and aborts whichever is slower, half-way or when it is open."""
    (slow,), (fast,) = visit.outside6(), visit.outside()
    for number in range(60):
        first = start_connecting(visit.world, slow, visit.address6, _TLS_PORT)
        second = start_connecting(visit.world, fast, visit.address4, _TLS_PORT)
        time.sleep(0.01)
        reset(first if number % 2 else second)
        with second if number % 2 else first:
            pass


def browser(visit: Visit) -> None:
    """Ten browsers: six connections each, two of them opened in advance and never used."""
    for address in visit.outside(10):
        with ExitStack() as stack:
            links = [stack.enter_context(connect(visit.world, address, visit.address4, 80)) for _ in range(6)]
            for link in links[:4] * 3:
                exchange(link)
            for link in links[4:]:
                reset(link)


def bookmarks_of_a_dashboard(visit: Visit) -> None:
    """A user opens 25 bookmarks of services on the node at the same time, of which five are switched off."""
    (user,) = visit.outside()
    ports = [(visit.address4, port) for port in (*range(5000, 5020), *range(5020, 5025))]
    for _ in range(2):
        expect(attempt_all(visit.world, [user], ports, wait_s=1), 20, "services reached")


def mail_program(visit: Visit) -> None:
    """Mail programs on three devices open 25 IMAP connections each for their folders, and close them by RST."""
    (home,) = visit.outside()
    for _ in range(3):
        with ExitStack() as stack:
            links = [stack.enter_context(connect(visit.world, home, visit.address4, 143)) for _ in range(25)]
            for link in links:
                exchange(link, b"a1 SELECT INBOX\r\n")
                reset(link)


def lossy_line(visit: Visit) -> None:
    """A client whose line loses a third of all packets opens 60 connections."""
    (client,) = visit.outside()
    table = f"zoo_loss_{client.replace('.', '_')}"
    loss = "numgen random mod 3 0 drop"
    visit.world.nft(
        f"table ip {table} {{\n"
        f"chain out {{ type filter hook output priority 0; ip saddr {client} {loss}; }}\n"
        f"chain in {{ type filter hook input priority 0; ip daddr {client} {loss}; }}\n}}\n"
    )
    attempt_all(visit.world, [client], [(visit.address4, _TLS_PORT)] * 60, wait_s=8)
    visit.world.run("nft", "delete", "table", "ip", table)


def forged_name(visit: Visit) -> None:
    """A client with 21 good handshakes, in whose name somebody else sends 15 SYNs; afterwards it must get in."""
    (client,) = visit.outside()
    for _ in range(21):
        request(visit.world, client, visit.address4, _TLS_PORT)
    time.sleep(_KNOWN_S)
    forged = (packets.tcp((client, 44444), (visit.address4, port), packets.SYN, ttl=51) for port in range(1000, 1015))
    packets.send(visit.neighbour, forged)
    time.sleep(4)
    expect(is_reachable(visit.world, client, visit.address4, _TLS_PORT), 1, "the client got in")


def forged_name_of_idle_client(visit: Visit) -> None:
    """The same for a client that has one connection open, and opens no other for a while."""
    (client,) = visit.outside()
    with connect(visit.world, client, visit.address4, _TLS_PORT) as link:
        for _ in range(25):
            exchange(link)
        time.sleep(_KNOWN_S)
        forged = (
            packets.tcp((client, 44445), (visit.address4, port), packets.SYN, ttl=51) for port in range(1000, 1015)
        )
        packets.send(visit.neighbour, forged)
        time.sleep(4)
        exchange(link)


def passive_ftp(visit: Visit) -> None:
    """An FTP client opens 40 data connections on as many ports, and one that is refused."""
    (client,) = visit.outside()
    with connect(visit.world, client, visit.address4, 21):
        ports = [(visit.address4, port) for port in range(40000, 40041)]
        expect(attempt_all(visit.world, [client], ports, wait_s=1), 40, "data connections")


def clones(visit: Visit) -> None:
    """A CI runner opens 60 ssh connections at the same time and closes half of them after the greeting."""
    (runner,) = visit.outside()
    with ExitStack() as stack:
        links = [stack.enter_context(connect(visit.world, runner, visit.address4, 22)) for _ in range(60)]
        for link in links[::2]:
            link.recv(100)
            reset(link)


def games(visit: Visit) -> None:
    """A player's client measures 12 game servers of the node by UDP, half of which are switched off, for a while."""
    (player,) = visit.outside()
    for _ in range(10):
        ask(visit.world, player, visit.address4, 3478)
        say(visit.world, player, visit.address4, range(27015, 27027), bytes(25), from_port=27005)


def remote_desktop(visit: Visit) -> None:
    """A client of a desktop server retries every 50 ms while the server restarts, 100 times."""
    (client,) = visit.outside()
    for _ in range(100):
        with contextlib.suppress(OSError):
            connect(visit.world, client, visit.address4, 3390).close()
    connect(visit.world, client, visit.address4, 3389).close()


_FORGED = "somebody scans in the name of a client that is known: reported, not banned"
_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("people: 500 behind one NAT", one_address_for_500, _BOTH),
    Behaviour("people: telephone that roams", mobile_roaming, _BOTH),
    Behaviour("people: happy eyeballs", happy_eyeballs, _BOTH),
    Behaviour("people: browsers", browser),
    Behaviour("people: bookmarks of services", bookmarks_of_a_dashboard, _BOTH),
    Behaviour("people: IMAP with many folders", mail_program, _BOTH),
    Behaviour("people: line that loses packets", lossy_line, _BOTH),
    Behaviour("people: SYNs forged in a client's name", forged_name, _BOTH, _FORGED),
    Behaviour("people: SYNs forged, client with one connection", forged_name_of_idle_client, _BOTH, _FORGED),
    Behaviour("people: passive FTP", passive_ftp, _BOTH),
    Behaviour("people: CI runner clones by ssh", clones, _BOTH),
    Behaviour("people: game servers", games, (GUARDED, OPEN)),
    Behaviour("people: remote desktop retries", remote_desktop, _BOTH),
)
