"""A node without a firewall, an attacker and a client, with the daemon on the node: for connection tracking."""

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

LOG_PREFIX = f"nwflows{os.getpid()}: "
"""/dev/kmsg belongs to the whole machine: the daemon reads only lines with this prefix."""
_CONFIGURATION = (
    "sources: {{kernel_log: {{enabled: {log}, prefixes: ['{prefix}']}}, conntrack: {{buffer: {buffer}}}}}\n"
)


class OpenSite:
    """The hosts and the daemon, which by default reads only connection tracking."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.node: Host = lab["node"]
        self.attacker: Host = lab["attacker"]
        self.client: Host = lab["client"]
        self.daemon = Daemon(self.node, directory)

    def start(self, more: str = "", *, buffer: str = "8MiB", log: bool = False) -> None:
        """Start the daemon with additional configuration."""
        self.daemon.configure(_CONFIGURATION.format(buffer=buffer, log=str(log).lower(), prefix=LOG_PREFIX) + more)
        self.daemon.start()

    def source(self) -> dict[str, object]:
        """Return the status of the source."""
        return next(one for one in self.daemon.ask("status")["sources"] if one["name"] == "conntrack")

    def bans(self, *, observed: bool = False) -> list[tuple[str, str, str]]:
        """Return network, set and detector of each ban; with `observed` also of observed ones."""
        listed = self.daemon.ask("list", *(["--observed"] if observed else []))
        return [(ban["network"], ban["set"], ban["detector"]) for ban in listed]

    def alerts(self) -> dict[str, int]:
        """Return the number of alerts of each detector that raised one."""
        return {one["name"]: one["alerts"] for one in self.daemon.ask("status")["detectors"] if one["alerts"]}

    def until(self, *bans: tuple[str, str, str], observed: bool = False) -> None:
        """Wait until exactly these are banned."""
        wait_for(
            lambda: self.bans(observed=observed) == list(bans),
            f"{bans}",
            lambda: f"{self.bans(observed=observed)}\n{self.daemon.log}",
            15,
        )

    def wait_for_completed(self, count: int) -> None:
        """Wait until `count` handshakes were seen."""
        name = "nodewarden_handshakes_completed_total"  # the scrape itself is one more
        wait_for(lambda: self.daemon.metrics()[name] >= count, f"{count} handshakes", lambda: self.daemon.log)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenSite]:
    """Yield a separate site for each test."""
    with Lab("node", "attacker", "client", label="flows") as lab:
        yield OpenSite(lab, tmp_path)


@contextmanager
def serving(host: Host, ports: range) -> Iterator[None]:
    """Listen on ports, accept connections and close them."""
    with host.entered():
        servers = [socket.create_server((host.address4, port), backlog=100) for port in ports]

    def take(server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was shut down
            while True:
                server.accept()[0].close()

    with ThreadPoolExecutor(len(servers)) as pool:
        pool.map(take, servers)
        try:
            yield
        finally:
            for server in servers:
                server.shutdown(socket.SHUT_RDWR)
    for server in servers:
        server.close()


def connect(here: Host, address: str, port: int) -> None:
    """Connect and close."""
    with here.entered():
        client = socket.socket()
    with client:
        client.settimeout(5)
        client.connect((address, port))


@contextmanager
def holding(here: Host, address: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Hold `count` open connections."""
    opened: list[socket.socket] = []
    try:
        with here.entered():
            opened.extend(socket.create_connection((address, port), 5) for _ in range(count))
        yield opened
    finally:
        for one in opened:
            one.close()
