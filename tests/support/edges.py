"""Two guarded nodes, an attacker, a client and a monitor with Prometheus, as data for the dashboards.

edge-1 also drops by XDP; edge-2 only by its table.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab
from tests.support.prometheus import Prometheus

NODES = ("edge-1", "edge-2")
OFFENDERS = range(101, 200)
"""Last bytes of the additional addresses of the attacker."""
TRUSTED_OFFENDER = "10.88.0.100"
"""An address of the attacker that is on the allowlist."""
UNAPPROVED_PORT = 8000
_REPOSITORY = Path(__file__).parents[2]

_FIREWALL = """
table inet firewall {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state established,related accept
        ct state invalid drop
        meta l4proto {{ icmp, ipv6-icmp }} accept
        tcp dport {{ 80, 2379, 9843 }} accept
        udp dport 53 accept
        limit rate 500/second burst 500 packets log prefix "{prefix}"
        drop
    }}
}}
"""
_CONFIGURATION = """
sources: {{kernel_log: {{prefixes: ["{prefix}"]}}}}
metrics: {{listen: "{address}:9843"}}
detectors:
  port_scan: {{shadow: {{maxretry: 8, findtime: 1m}}}}
  half_open: {{maxretry: 150, total: 400}}
  protected_port: {{services: {{etcd: {{networks: [{client}]}}}}}}
  egress: {{approved: [{client}]}}
  udp_amplification: {{answered: 20KB}}
  drop_rate: {{maxretry: 400}}
  failures: {{sshd: {{backend: files, files: ["{log}"], evidence: proven}}}}
bans:
  allowlist: [{client}, {monitor}, {trusted}]
  xdp: {{interfaces: [{front}]}}
{bans}"""


class Edges:
    """The lab with everything running; to be used as a context manager."""

    def __init__(
        self,
        directory: Path,
        *,
        scrape_s: float,
        rules: Sequence[Path] = (),
        bans: str = "",
        trusts_monitor: bool = True,
    ) -> None:
        """`directory` is for configurations, logs and the data of Prometheus; nothing runs yet.

        `bans` are more settings of that section, indented by two; without `trusts_monitor` the host of Prometheus is
        not on the allowlist.
        """
        self._directory = directory
        self._bans = bans
        self._trusts_monitor = trusts_monitor
        self._stack = contextlib.ExitStack()
        self.lab = Lab(*NODES, "attacker", "client", "monitor", label="edges")
        self.daemons = [Daemon(node, directory / node.name) for node in self.nodes]
        targets = {node.name: f"{node.address4}:9843" for node in self.nodes}
        self.prometheus = Prometheus(self.monitor, directory / "prometheus", targets, scrape_s=scrape_s, rules=rules)

    @property
    def nodes(self) -> list[Host]:
        """The guarded nodes."""
        return [self.lab[name] for name in NODES]

    @property
    def attacker(self) -> Host:
        """The attacker, with many addresses."""
        return self.lab["attacker"]

    @property
    def client(self) -> Host:
        """The client, with normal traffic only."""
        return self.lab["client"]

    @property
    def monitor(self) -> Host:
        """The host of Prometheus."""
        return self.lab["monitor"]

    def log_of(self, node: Host) -> Path:
        """The path of the sshd log of a node."""
        return self._directory / node.name / "auth.log"

    def __enter__(self) -> Self:
        """Build the lab and start everything; on failure all of it is removed again."""
        self._stack.enter_context(self.lab)
        try:
            for number in (int(TRUSTED_OFFENDER.rpartition(".")[2]), *OFFENDERS):
                self.attacker.run("ip", "address", "add", f"10.88.0.{number}/24", "dev", "eth0")
            self._serve(self.client, 53)
            self._serve(self.attacker, UNAPPROVED_PORT)
            for node, daemon in zip(self.nodes, self.daemons, strict=True):
                self._furnish(node, daemon)
            self.prometheus.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything and remove the lab."""
        self._stack.close()

    def _serve(self, host: Host, port: int) -> None:
        command = [sys.executable, "-m", "tests.support.web_server", host.address4, str(port)]
        host.start("env", f"--chdir={_REPOSITORY}", *command)

    def _furnish(self, node: Host, daemon: Daemon) -> None:
        prefix = f"{self.lab.switch} {node.name}: "
        for setting in ("nf_conntrack_acct=1", "nf_conntrack_tcp_loose=0", "nf_conntrack_udp_timeout=1"):
            node.run("sysctl", "-qw", f"net.netfilter.{setting}")
        node.nft(_FIREWALL.format(prefix=prefix))
        for port in (80, 2379):
            self._serve(node, port)
        self.log_of(node).touch()
        daemon.configure(
            _CONFIGURATION.format(
                prefix=prefix,
                address=node.address4,
                client=self.client.address4,
                monitor=(self.monitor if self._trusts_monitor else self.client).address4,
                trusted=TRUSTED_OFFENDER,
                log=self.log_of(node),
                front="eth0" if node.name == NODES[0] else "",
                bans=self._bans,
            )
        )
        daemon.start()
        wait_for(lambda: "9843" in node.run("ss", "-Hltn").stdout, "metrics", lambda: daemon.log)


class OrdinaryWork:
    """A client that repeatedly fetches pages from the nodes until it is stopped."""

    def __init__(self, edges: Edges, *, per_s: float) -> None:
        """Start immediately."""
        self._edges = edges
        self._pause_s = 1 / per_s
        self._stop = threading.Event()
        self.failed = self.succeeded = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current fetch."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        with self._edges.client.entered():
            while not self._stop.wait(self._pause_s):
                for node in self._edges.nodes:
                    try:
                        with socket.create_connection((node.address4, 80), 2) as link:
                            link.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
                            self.succeeded += b"hello" in link.recv(1000)
                    except OSError:
                        self.failed += 1
