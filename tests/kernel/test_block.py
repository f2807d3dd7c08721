"""Destinations that may no longer be called: by the node, by whom it routes for, by hand and by the detector."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.support.open_site import OpenSite, connect, serving

pytestmark = pytest.mark.kernel

_SERVICE = """
table ip nat4 {
  chain p { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.88.0.2:8000; }
  chain o { type nat hook output priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.88.0.2:8000; }
  chain m { type nat hook postrouting priority 100; ct status dnat masquerade; }; }
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenSite]:
    """Yield a node that routes for the client (a pod) and has a service in front of the attacker (the world)."""
    with Lab("node", "attacker", "client", label="block") as lab:
        site = OpenSite(lab, tmp_path)
        site.node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0")
        site.node.run("sysctl", "-qw", "net.ipv4.conf.eth0.send_redirects=0")
        site.node.run("ip", "route", "add", "10.96.0.0/16", "via", site.attacker.address4)
        site.client.run("ip", "route", "add", "10.96.0.0/16", "via", site.node.address4)
        site.client.run("ip", "route", "add", f"{site.attacker.address4}/32", "via", site.node.address4)
        site.attacker.run("ip", "route", "add", f"{site.client.address4}/32", "via", site.node.address4)
        site.node.nft(_SERVICE)
        yield site


def reaches(here: Host, address: str, port: int) -> bool:
    """Whether a TCP connection can be opened."""
    with here.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(0.5)
        return client.connect_ex((address, port)) == 0


@contextmanager
def datagrams(host: Host) -> Iterator[socket.socket]:
    """Receive UDP on port 8000."""
    with host.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind((host.address4, 8000))
        receiver.settimeout(0.5)
        yield receiver


def test_a_blocked_destination_cannot_be_called(site: OpenSite) -> None:
    """Not by the node, nor through it, nor by a service's address; it may still call us, and gets answers."""
    site.start()
    node, world, pod = site.node, site.attacker, site.client
    with serving(world, range(8000, 8001)), serving(node, range(8001, 8002)), datagrams(world) as receiver:
        with node.entered():
            before = socket.create_connection((world.address4, 8000), 5)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with before, sender:
            for here in (node, pod):
                assert reaches(here, world.address4, 8000)
                assert reaches(here, "10.96.0.1", 80)
            assert site.daemon.run("ban", "--block", world.address4).returncode == 0
            assert site.bans() == [(world.address4, "block", "manual")]
            for here in (node, pod):
                assert not reaches(here, world.address4, 8000)
                assert not reaches(here, "10.96.0.1", 80)
            with pytest.raises(PermissionError):  # what netfilter drops on the way out, the sender is told
                sender.sendto(b"x", (world.address4, 8000))
            with pytest.raises(TimeoutError):
                receiver.recv(1)
            assert reaches(world, node.address4, 8001)
            assert f"dst={world.address4} sport={before.getsockname()[1]}" not in node.run("conntrack", "-L").stdout
        counts = site.daemon.ask("status")["bans"]
        assert (counts["ban"], counts["shun"], counts["block"]) == (0, 0, 1)
        assert site.daemon.run("unban", world.address4).returncode == 0
        assert reaches(node, world.address4, 8000)


def test_a_block_outlives_restart_and_tampering_and_ends_by_itself(site: OpenSite) -> None:
    """It is in force again after a restart, and after somebody deleted the table; when its time is up, it ends."""
    site.start()
    with serving(site.attacker, range(8000, 8001)):
        site.daemon.run("ban", "--block", "--for", "6s", site.attacker.address4)
        site.daemon.run("ban", "--block", "fd88::2", "--for", "1h")
        site.daemon.stop()
        assert not reaches(site.node, site.attacker.address4, 8000)
        site.daemon.start()
        assert {word for _, word, _ in site.bans()} == {"block"}
        site.node.run("nft", "delete", "table", "inet", "nodewarden")
        table = lambda: site.node.run("nft", "list", "set", "inet", "nodewarden", "block6", check=False).stdout  # noqa: E731
        wait_for(lambda: "fd88::2" in table(), "the table to be put back", lambda: site.daemon.log)
        assert not reaches(site.node, "fd88::2", 8000)
        wait_for(lambda: reaches(site.node, site.attacker.address4, 8000), "its end")


def test_what_is_needed_is_never_blocked(site: OpenSite) -> None:
    """The allowlist holds against orders, and for both kinds at once there is no order."""
    site.start("bans: {allowlist: [10.88.0.2]}\n")
    done = site.daemon.run("ban", "--block", site.attacker.address4)
    assert (done.returncode, "allowlist" in done.stdout + done.stderr) == (1, True)
    assert site.daemon.run("ban", "--block", "--shun", "192.0.2.1").returncode == 2


def test_a_pod_that_calls_out_is_told_of_and_stopped(site: OpenSite) -> None:
    """First observed, then enforced: the destination is blocked for node and pod; approved ones are left alone."""
    approved = "detectors: {egress: {mode: MODE, approved: [10.88.0.1, 10.88.0.9], sources: [10.88.0.3]}}\n"
    site.start(approved.replace("MODE", "observe"))
    site.node.run("ip", "address", "add", "10.88.0.9/32", "dev", "lo")
    site.client.run("ip", "route", "add", "10.88.0.9/32", "via", site.node.address4)
    with serving(site.attacker, range(8000, 8001)), serving(site.node, range(8001, 8002)):
        connect(site.client, site.node.address4, 8001)
        connect(site.attacker, site.node.address4, 8001)
        connect(site.client, site.attacker.address4, 8000)
        site.until((site.attacker.address4, "block", "egress"), observed=True)
        (event,) = site.daemon.ask("why", site.attacker.address4)["history"]
        assert event["sample"] == [f"{site.client.address4} to tcp/8000"]
        assert site.bans() == []
        site.daemon.stop()
        site.start(approved.replace("MODE", "enforce"))
        connect(site.client, "10.96.0.1", 80)  # behind a service's address
        site.until((site.attacker.address4, "block", "egress"))
        assert not reaches(site.client, site.attacker.address4, 8000)
        assert not reaches(site.node, site.attacker.address4, 8000)
        assert reaches(site.attacker, site.node.address4, 8001)
    assert site.daemon.metrics()['nodewarden_egress_flows_total{approved="no"}'] >= 1
