"""A network namespace that plays a node: rules, listeners, pods; and what the audit says of it."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monitor.audit.findings import Zone
from monitor.audit.kernel.gathering import gather_reach
from monitor.audit.reach import Outcome, Reach, Verdict
from tests.support.lab import Host, Lab

_SERVE = """
import socket, sys, time
held = []
for word in sys.argv[1:]:
    protocol, address, port = word.split("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    one = socket.socket(family, kind)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind((address, int(port)))
    if protocol == "tcp":
        one.listen()
    held.append(one)
print("ready", flush=True)
time.sleep(600)
"""


@contextmanager
def audited_node(*listeners: str, rules: str = "", label: str = "audit") -> Iterator[Host]:
    """Yield a node with a neighbour, `cni0` with pods in 10.244.0.0/24, and listeners as `tcp/::/22`."""
    with Lab("node", "neighbour", label=label) as lab:
        node = lab["node"]
        node.run("ip", "link", "add", "cni0", "type", "bridge")
        node.run("ip", "addr", "add", "10.244.0.1/24", "dev", "cni0")
        node.run("ip", "link", "set", "cni0", "up")
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        if rules:
            node.nft(rules)
        if listeners:
            serve(node, listeners)
        yield node


def serve(node: Host, listeners: Sequence[str]) -> None:
    """Have a process of the node listen, and wait until it does."""
    process = node.start("/usr/bin/python3", "-c", _SERVE, *listeners, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "ready\n"


def judge(node: Host, *, zones: Sequence[Zone] = tuple(Zone)) -> Reach:
    """Return what the audit finds, run inside the node."""
    with node.entered():
        return gather_reach(zones=zones)


def verdict(reach: Reach, zone: Zone, port: int, *, address: str = "10.88.0.1", protocol: str = "tcp") -> Verdict:
    """Return the one verdict on a port."""
    (found,) = (
        one
        for one in reach.verdicts
        if (one.probe.zone, one.probe.protocol, one.probe.address, one.probe.port) == (zone, protocol, address, port)
    )
    return found


def outcomes(reach: Reach, zone: Zone, *, address: str = "10.88.0.1", protocol: str = "tcp") -> dict[int, Outcome]:
    """Return the outcome by port, for one zone and address."""
    return {
        one.probe.port: one.outcome
        for one in reach.verdicts
        if (one.probe.zone, one.probe.protocol, one.probe.address) == (zone, protocol, address)
    }


def wait_until_gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends within a time."""
    until_s = time.monotonic() + within_s
    while _runs(pid):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.05)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
