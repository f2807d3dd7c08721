"""A CNI that takes packets for its pods past netfilter at tc ingress, as eBPF host routing does: what holds then."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_POD = "10.89.0.2"
_XDP = "bans: {xdp: {interfaces: [eth0]}}\n"


class Node:
    """A node with a pod behind a link of its own, an attacker outside, and the daemon."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.host: Host = lab["node"]
        self.attacker: Host = lab["attacker"]
        self.daemon = Daemon(self.host, directory)
        self._link(lab["pod"])

    def _link(self, pod: Host) -> None:
        """Give the pod its link; its address is the node's on the wire, so tc need rewrite no frame."""
        link = json.loads(self.host.run("ip", "-json", "link", "show", "eth0").stdout)[0]["address"]
        peer = ("type", "veth", "peer", "name", "up0", "netns", pod.namespace, "address", link)
        self.host.run("ip", "link", "add", "pod0", *peer)
        for host, name, address in ((self.host, "pod0", "10.89.0.1/24"), (pod, "up0", f"{_POD}/24")):
            host.run("ip", "address", "add", address, "dev", name)
            host.run("ip", "link", "set", name, "up")
        self.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        pod.run("ip", "route", "add", "default", "via", "10.89.0.1")
        self.attacker.run("ip", "route", "add", f"{_POD}/32", "via", self.host.address4)

    def go_around(self) -> None:
        """Take packets for the pod from the wire to its link, before any hook of netfilter."""
        self.host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
        match = ("u32", "match", "ip", "dst", f"{_POD}/32", "action", "mirred", "egress", "redirect", "dev", "pod0")
        self.host.run("tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", *match)

    def start(self, more: str = "") -> None:
        """Start the daemon and ban the attacker."""
        self.daemon.configure("sources: {kernel_log: {enabled: false}, drops: {enabled: false}}\n" + more)
        self.daemon.start()
        assert self.daemon.run("ban", self.attacker.address4).returncode == 0

    def reaches(self, address: str) -> bool:
        """Whether the attacker is answered."""
        return self.attacker.run("ping", "-c1", "-W1", address, check=False).returncode == 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Yield a node of its own for each test."""
    with Lab("node", "attacker", "pod", label="bypass") as lab:
        yield Node(lab, tmp_path)


def test_by_netfilter_a_ban_covers_node_and_pods(node: Node) -> None:
    """Without such a CNI, one ban keeps the attacker from the node and from its pod."""
    assert node.reaches(_POD)
    node.start()
    assert not node.reaches(node.host.address4)
    assert not node.reaches(_POD)


def test_past_netfilter_it_covers_the_node_and_xdp_the_pods(node: Node) -> None:
    """Where tc takes them away, a ban by nftables alone does not keep packets from the pod; with bans.xdp it does."""
    node.go_around()
    assert node.reaches(_POD)
    node.start()
    assert not node.reaches(node.host.address4)
    assert node.reaches(_POD)
    node.daemon.stop()
    node.start(_XDP)
    wait_for(lambda: "XDP drops on eth0" in node.daemon.log, "the XDP program", lambda: node.daemon.log, 20)
    assert not node.reaches(node.host.address4)
    assert not node.reaches(_POD)
