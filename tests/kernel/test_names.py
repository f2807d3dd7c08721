"""An API server that is given by name, with a real resolver: it answers, fails, changes, and says far too much."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import wait_for
from tests.support.open_site import OpenSite, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel

_NAME = "cp.example.com"
_KUBECONFIG = f"""
apiVersion: v1
kind: Config
clusters: [{{name: default, cluster: {{server: "https://{_NAME}:6443"}}}}]
"""
_OWN_ETC = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/etc/kubernetes /mnt/work
echo "nameserver $1\noptions timeout:1 attempts:1" > /mnt/etc/resolv.conf
cp "$2" /mnt/etc/kubernetes/kubelet.conf
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work /etc
shift 2
exec "$@"
"""


class Cluster:
    """The node of a cluster, and the resolver of its API server's name on another host."""

    def __init__(self, site: OpenSite, directory: Path) -> None:
        self.site = site
        self.directory = directory
        self._resolver: subprocess.Popen[str] | None = None
        self._has_address = False

    def answer(self, *options: str) -> None:
        """Let the resolver answer with these options of dnsmasq; without any there is none."""
        if self._resolver:
            self._resolver.terminate()
            self._resolver.wait(5)
        host = self.site.client
        options = ("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file", "--bind-interfaces", *options)
        listen = f"--listen-address={host.address4}"
        self._resolver = host.start("dnsmasq", "--keep-in-foreground", "--user=root", listen, *options)
        wait_for(lambda: ":53 " in host.run("ss", "-Hlun").stdout, "the resolver")

    def silence(self) -> None:
        """Let nobody answer."""
        chain = "type filter hook input priority 0\nudp dport 53 drop\n"
        self.site.client.nft(f"table inet mute {{\nchain c {{\n{chain}}}\n}}\n")

    def start(self) -> None:
        """Start the daemon with an /etc of its own."""
        (self.directory / "kubelet.conf").write_text(_KUBECONFIG)
        script = self.directory / "own-etc"
        script.write_text(_OWN_ETC)
        own = ("unshare", "-m", "sh", script, self.site.client.address4, self.directory / "kubelet.conf")
        self.site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
        self.site.daemon.start(*map(str, own))

    def resolve_again(self) -> None:
        """Change an address of the node: then names are resolved again, if that was not done just now."""
        self.site.node.run("ip", "addr", "del" if self._has_address else "add", "10.88.77.1/32", "dev", "eth0")
        self._has_address = not self._has_address

    def servers(self) -> list[str]:
        """Return what is protected as an API server."""
        entries = self.site.daemon.ask("allow", "list")
        return sorted(entry["network"] for entry in entries if entry["reason"].startswith("an API server"))

    def status(self) -> dict[str, Any]:
        """Return the status."""
        status: dict[str, Any] = self.site.daemon.ask("status")
        return status

    def told(self) -> str:
        """Return the problems about the name."""
        return "; ".join(one for one in self.status()["problems"] if _NAME in one)


@pytest.fixture
def cluster(site: OpenSite, tmp_path: Path) -> Cluster:
    """Return a node whose kubeconfig has a name."""
    return Cluster(site, tmp_path)


def test_a_server_given_by_name_is_protected(cluster: Cluster) -> None:
    """Without an answer it is a problem; then by all addresses, kept when the name is gone, and bounded when many."""
    record = f"--host-record={_NAME}"
    cluster.answer(f"{record},192.0.2.10,2001:db8::10", f"{record},192.0.2.11")
    cluster.silence()
    cluster.start()
    wait_for(lambda: "is not protected, it cannot be resolved" in cluster.told(), "the problem", cluster.told, 20)
    assert f"needs the addresses of {_NAME}: is not protected" in cluster.site.daemon.run("doctor").stdout
    assert cluster.site.daemon.metrics()["nodewarden_allowlist_unresolved_names"] == 1
    cluster.site.client.run("nft", "delete", "table", "inet", "mute")
    _until_told(cluster, "")
    # The answer is protected by the next reading of the node, which rests after a slow one.
    wait_for(lambda: cluster.servers() == ["192.0.2.10", "192.0.2.11", "2001:db8::10"], "the addresses", cluster.told)
    assert "on the allowlist" in cluster.site.daemon.run("ban", "192.0.2.11").stderr
    cluster.answer(f"--address=/{_NAME}/")  # NXDOMAIN
    _until_told(cluster, "is protected by its last addresses (192.0.2.10")
    many = cluster.directory / "hosts"  # as many as fit into one message
    many.write_text("".join(f"198.18.{number >> 8}.{number & 255} {_NAME}\n" for number in range(4000)))
    cluster.answer(f"--addn-hosts={many}")
    _until_told(cluster, "addresses too many, which are not protected: at most 16 are")
    wait_for(lambda: len(cluster.servers()) == 16, "16 addresses", cluster.told)


def _until_told(cluster: Cluster, text: str) -> None:
    """Wait until the problems about the name contain a text; empty: until there is none."""

    def is_told() -> bool:
        cluster.resolve_again()
        time.sleep(0.3)
        told = cluster.told()
        return text in told if text else not told

    wait_for(is_told, text or "no problem", cluster.told, 20)
