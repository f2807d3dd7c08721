"""The daemon follows connections: scans that nobody logs are found, and working clients are left alone."""

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_CONFIGURATION = "sources: {{kernel_log: {{enabled: false}}, conntrack: {{buffer: {buffer}}}}}\n"


class Open:
    """A node without any firewall, an attacker and a client, with the daemon on the node."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.node: Host = lab["node"]
        self.attacker: Host = lab["attacker"]
        self.client: Host = lab["client"]
        self.daemon = Daemon(self.node, directory)

    def start(self, buffer: str = "8MiB") -> None:
        """Start the daemon."""
        self.daemon.configure(_CONFIGURATION.format(buffer=buffer))
        self.daemon.start()

    def source(self) -> dict[str, object]:
        """Return what the status says of the source."""
        return next(one for one in self.daemon.ask("status")["sources"] if one["name"] == "conntrack")

    def bans(self) -> list[tuple[str, str, str]]:
        """Return network, set and detector of each ban."""
        return [(ban["network"], ban["set"], ban["detector"]) for ban in self.daemon.ask("list")]

    def until(self, *bans: tuple[str, str, str]) -> None:
        """Wait until exactly these are banned."""
        wait_for(lambda: self.bans() == list(bans), f"{bans}", lambda: f"{self.bans()}\n{self.daemon.log}", 15)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Open]:
    """Yield a site of its own for each test."""
    with Lab("node", "attacker", "client", label="flows") as lab:
        yield Open(lab, tmp_path)


@contextmanager
def serving(host: Host, ports: range) -> Iterator[None]:
    """Listen on ports, take whoever connects and hang up."""
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
    """Connect and hang up."""
    with here.entered():
        client = socket.socket()
    client.settimeout(5)
    client.connect((address, port))
    client.close()


@pytest.mark.parametrize("kind", ["-sS", "-sT"])
def test_a_scan_that_nobody_logs_is_shunned(site: Open, kind: str) -> None:
    """The node refuses the attempts by itself; forgeable as they are, only new connections are refused."""
    site.start()
    site.attacker.run("nmap", "-n", "-Pn", kind, "-T5", "--max-retries", "0", "-p", "100-159", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"))
    answer = site.daemon.ask("why", site.attacker.address4)
    assert len(answer["history"][0]["sample"]) == 15
    assert site.daemon.metrics()["nodewarden_handshakes_incomplete_total"] >= 15


def test_a_sweep_is_shunned(site: Open) -> None:
    """One port on twelve of the node's addresses."""
    addresses = [f"10.99.7.{number}" for number in range(1, 13)]
    for address in addresses:
        site.node.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    site.attacker.run("ip", "route", "add", "10.99.7.0/24", "via", site.node.address4)
    site.start()
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "23", *addresses)
    site.until((site.attacker.address4, "shun", "host_sweep"))


def test_working_clients_are_left_alone(site: Open) -> None:
    """Many connections, at once and one by one, to one port and to forty: none of them is an attempt that failed."""
    site.start()
    with serving(site.node, range(8000, 8040)):
        for port in range(8000, 8040):
            connect(site.client, site.node.address4, port)
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: connect(site.client, site.node.address4, 8000), range(500)))
    completed = "nodewarden_handshakes_completed_total"  # asking for it is one more
    wait_for(lambda: site.daemon.metrics()[completed] >= 540, "540 handshakes to be seen", lambda: site.daemon.log)
    time.sleep(2.5)  # longer than an attempt may take
    assert site.daemon.metrics()["nodewarden_handshakes_incomplete_total"] == 0
    assert site.bans() == []


def test_a_flood_with_a_tiny_buffer_blames_nobody_who_works(site: Open) -> None:
    """Events are lost and that is said; the client who completes handshakes all the while is not banned."""
    site.start("64KiB")
    flood = site.attacker.start("hping3", "-q", "--flood", "-S", "-p", "++1", "--rand-source", site.node.address4)
    try:
        wait_for(lambda: int(str(site.source()["lost"])) > 0, "events to be lost", lambda: site.daemon.log)
        with serving(site.node, range(8000, 8001)):
            for _ in range(100):
                connect(site.client, site.node.address4, 8000)
    finally:
        flood.terminate()
        flood.wait()
    assert site.client.address4 not in [network for network, _, _ in site.bans()]
    assert site.source()["state"] == "up"
    told = "connection events are lost"
    wait_for(lambda: told in site.daemon.run("status").stdout, told)
    resyncs = 'nodewarden_source_resyncs_total{source="conntrack"}'
    wait_for(lambda: site.daemon.metrics()[resyncs] >= 1, "a list", lambda: str(site.source()), 30)


def test_the_table_is_watched(site: Open) -> None:
    """Its size and limit and what happened to it are metrics."""
    site.start()
    metrics = site.daemon.metrics()
    assert metrics["nodewarden_conntrack_entries_limit"] > metrics["nodewarden_conntrack_entries"] >= 0
    assert 'nodewarden_conntrack_table_total{event="early_drop"}' in metrics


def test_switched_off_it_is_not_read(site: Open) -> None:
    """It can be switched off and on by a reload."""
    site.start()
    assert site.source()["state"] == "up"
    site.daemon.configure("sources: {kernel_log: {enabled: false}, conntrack: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    assert site.source()["state"] == "off"
