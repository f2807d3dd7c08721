"""Attacks, operator actions and faults on the nodes, each from a separate address."""

import contextlib
import itertools
import socket
import time
from datetime import datetime

from tests.support.daemon import Daemon
from tests.support.edges import OFFENDERS, TRUSTED_OFFENDER, UNAPPROVED_PORT, Edges
from tests.support.lab import Host

_FLOOD_PACKETS = 1200


class Attacks:
    """Attacks on the nodes; each call is one attack, from an address that was not used before."""

    def __init__(self, edges: Edges) -> None:
        """Prepare the attacks; nothing is sent yet."""
        self._edges = edges
        self._addresses = (f"10.88.0.{number}" for number in itertools.cycle(OFFENDERS))

    def scan(self, node: Host, source: str | None = None) -> str:
        """Scan ports that the firewall drops; return the source."""
        source = source or next(self._addresses)
        scan = ("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "1000-1059", "-S", source, "-e", "eth0")
        self._edges.attacker.run(*scan, node.address4)
        return source

    def scan_from_within(self, node: Host) -> None:
        """Scan from an address that is on the allowlist."""
        self.scan(node, TRUSTED_OFFENDER)

    def guess_passwords(self, node: Host) -> str:
        """Append the log lines of sshd for password guessing; return the source."""
        source = next(self._addresses)
        now = datetime.now().astimezone().strftime("%b %e %H:%M:%S")
        lines = [
            f"{now} {node.name} sshd[{4000 + number}]: Failed password for root from {source} port {number} ssh2\n"
            for number in range(40000, 40008)
        ]
        with self._edges.log_of(node).open("a") as log:
            log.writelines(lines)
        return source

    def flood(self, node: Host) -> None:
        """Send SYN packets to an open port, from forged sources that do not exist."""
        self._hping(node, "-S", "-p", "80", "--rand-source", "-i", "u500", "-c", str(_FLOOD_PACKETS))

    def keep_sending(self, node: Host, source: str) -> None:
        """Continue sending from a banned address."""
        self._hping(node, "-S", "-p", "80", "-a", source, "-i", "u2000", "-c", "300")

    def confuse(self, node: Host) -> None:
        """Send packets that are not part of a connection."""
        self._hping(node, "-A", "-p", "80", "-a", next(self._addresses), "-i", "u2000", "-c", "200")

    def touch_protected_port(self, node: Host) -> None:
        """Connect to etcd from outside."""
        with self._edges.attacker.entered(), contextlib.suppress(OSError):
            socket.create_connection((node.address4, 2379), 2, (next(self._addresses), 0)).close()

    def call_out(self, node: Host) -> None:
        """Let the node connect to an unapproved destination, and to an approved one."""
        for host, port in ((self._edges.attacker, UNAPPROVED_PORT), (self._edges.client, 53)):
            with node.entered(), contextlib.suppress(OSError):
                socket.create_connection((host.address4, port), 2).close()

    def amplify(self, node: Host) -> None:
        """Send small queries to a name server that sends large answers."""
        with node.entered():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source = next(self._addresses)
        with server:
            server.settimeout(2)
            server.bind((node.address4, 53))
            for _ in range(40):
                with self._edges.attacker.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                    asker.bind((source, 0))
                    asker.sendto(b"?" * 12, (node.address4, 53))
                    _, back = server.recvfrom(100)
                    server.sendto(b"!" * 1000, back)
        time.sleep(1.1)
        node.run("conntrack", "-L")  # removes expired entries: the kernel itself takes up to a minute

    def _hping(self, node: Host, *arguments: str) -> None:
        self._edges.attacker.run("hping3", "-q", *arguments, node.address4, check=False)


def operate(daemon: Daemon, node: Host, number: int) -> None:
    """Ban, unban and allow as an operator does, and change our table as another firewall might."""
    daemon.run("ban", f"192.0.2.{number}", "--for", "1h", "--reason", "lab")
    daemon.run("unban", f"192.0.2.{number}")
    daemon.run("ban", f"198.51.100.{number}", "--for", "2s", "--reason", "lab")
    daemon.run("ban", f"203.0.113.{number}", "--for", "1h", "--reason", "lab")
    daemon.run("allow", "add", f"203.0.113.{number}", "--reason", "lab")
    node.run("nft", "delete", "set", "inet", "nodewarden", "no_such_set", check=False)
    node.run("nft", "flush", "set", "inet", "nodewarden", "shun4", check=False)
