"""Ordinary work beside the daemon, all detectors on: no alert in any of it."""

import socket
import struct
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.lab import Host
from tests.support.open_site import OpenSite, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel

_EGRESS = "detectors: {egress: {approved: [10.88.0.0/24]}}\n"
_LOOKUPS = 2000


def listens(host: Host, port: int) -> None:
    """Wait until somebody listens on a TCP port of a host."""
    wait_for(lambda: f":{port} " in host.run("ss", "-Hltn").stdout, f"port {port} to be served")


def resolver(host: Host, *more: str) -> None:
    """Run a resolver on a host's own address."""
    host.start(
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--pid-file",
        "--bind-interfaces",
        f"--listen-address={host.address4}",
        "--cache-size=0",
        *more,
    )
    listens(host, 53)


def check_health(here: Host, address: str, ports: list[int], times: int) -> None:
    """Connect to ports again and again and reset the connection, as load balancers do."""
    with here.entered():
        for _ in range(times):
            for port in ports:
                with socket.create_connection((address, port), 5) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_ordinary_work_raises_no_alert(site: OpenSite, tmp_path: Path) -> None:
    """500 web clients at a time with and without keep-alive, a resolver's 2,000 lookups, health checks, an rsync."""
    node, client = site.node, site.client
    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1", "net.netfilter.nf_conntrack_udp_timeout=1")
    site.start(_EGRESS, log=True)
    repository = Path(__file__).parents[2]
    node.start("env", f"--chdir={repository}", sys.executable, "-m", "tests.support.web_server", node.address4, "8000")
    resolver(client, "--address=/#/192.0.2.1")
    resolver(node, f"--server={client.address4}")
    (tmp_path / "there").mkdir()
    (tmp_path / "files").mkdir()
    for number in range(50):
        (tmp_path / "files" / str(number)).write_bytes(bytes(20_000))
    (tmp_path / "rsyncd.conf").write_text(
        f"use chroot = no\nuid = 0\ngid = 0\n[there]\npath = {tmp_path / 'there'}\nread only = no\n"
    )
    node.start("rsync", "--daemon", "--no-detach", f"--config={tmp_path / 'rsyncd.conf'}", "--port=8730")
    listens(node, 8000)
    listens(node, 8730)

    (tmp_path / "names").write_text("".join(f"host{number}.example A\n" for number in range(_LOOKUPS)))
    client.run("ab", "-q", "-r", "-c", "500", "-n", "5000", f"http://{node.address4}:8000/")
    client.run("ab", "-q", "-r", "-k", "-c", "500", "-n", "10000", f"http://{node.address4}:8000/")
    answers = site.attacker.run("dig", f"@{node.address4}", "+short", "-f", tmp_path / "names").stdout
    assert answers.count("192.0.2.1") == _LOOKUPS
    check_health(client, node.address4, [8000, 53, 8730], 100)
    client.run("rsync", "-r", tmp_path / "files", f"rsync://{node.address4}:8730/there/")

    site.wait_for_completed(5000)
    time.sleep(3)  # longer than an attempt may take, and than a lookup's entry lives
    metrics = site.daemon.metrics()
    assert (
        metrics['nodewarden_flows_total{direction="out",event="opened",protocol="udp"}'] >= _LOOKUPS / 2
    )  # some share a source port
    assert metrics['nodewarden_source_lost_records_total{source="conntrack"}'] == 0
    assert site.alerts() == {}
    assert site.bans(observed=True) == []
    assert metrics["nodewarden_egress_flows_total" + '{approved="no"}'] == 0
