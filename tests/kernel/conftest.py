"""A node, an attacker and a neighbour with the real daemon, for tests on the real kernel."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab

_numbers = itertools.count()


class Site:
    """A node behind a firewall that logs what it drops, and the daemon on it."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.node: Host = lab["node"]
        self.attacker: Host = lab["attacker"]
        # /dev/kmsg belongs to the whole machine: each test reads only lines with its own prefix
        self.prefix = f"nwtest{os.getpid()}.{next(_numbers)}: "
        self.node.nft(logging_firewall(self.prefix))
        self.daemon = Daemon(self.node, directory)
        self.configure()

    def configure(self, more: str = "") -> None:
        """Configure the daemon: what every test needs, and more YAML."""
        self.daemon.configure(counting_only(self.prefix) + more)

    def scan(self, host: Host | None = None) -> None:
        """Scan 60 ports of the node, from the attacker or another host."""
        (host or self.attacker).run(
            "nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-159", self.node.address4
        )

    def banned(self) -> list[str]:
        """Return the networks that the daemon says are banned."""
        return [ban["network"] for ban in self.daemon.ask("list")]

    def in_kernel(self, address: str) -> bool:
        """Whether the kernel's table names this address in a ban or shun set."""
        done = self.node.run("nft", "list", "table", "inet", "nodewarden", check=False)
        return any(f" {address} " in line and "timeout" in line for line in done.stdout.splitlines())

    def has_table(self) -> bool:
        """Whether our table exists in the node's namespace."""
        return self.node.run("nft", "list", "table", "inet", "nodewarden", check=False).returncode == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield a site of its own for each test."""
    with Lab("node", "attacker", "neighbour", label="site") as lab:
        yield Site(lab, tmp_path)
