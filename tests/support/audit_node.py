"""A node to audit: a network namespace with addresses, interfaces, rules and listeners, and no way out."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.kube_rules import kube_proxy_rules
from tests.support.audit_cases import DIRECTORY, Case
from tests.support.lab import Host

_numbers = itertools.count()
_LOADERS = {
    ".nft": ("nft", "-f"),
    ".v4": ("iptables-nft-restore", "-n"),
    ".v6": ("ip6tables-nft-restore", "-n"),
    ".legacy4": ("iptables-legacy-restore", "-n"),
}
_SURROUNDINGS = """\
link set lo up
link add eth0 type veth peer name uplink
addr add 203.0.113.10/24 dev eth0
addr add 2001:db8:113::10/64 dev eth0 nodad
link set uplink up
link set eth0 up
route add default via 203.0.113.1
route add default via 2001:db8:113::1
"""
_SILENT = ("net.ipv6.conf.default.router_solicitations=0", "net.ipv6.conf.default.accept_dad=0")


@contextmanager
def audit_node(case: Case) -> Iterator[Host]:
    """Yield a node that is as a case says."""
    namespace = f"nw-audit-{os.getpid()}-{next(_numbers)}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    host = Host("node", namespace, 1)
    try:
        forwards = ["net.ipv4.ip_forward=1"] if case.links else []  # pods and containers are behind them
        host.run("sysctl", "-qw", *_SILENT, *forwards)
        links = "".join(map(_link, case.links))
        host.run("ip", "-batch", "-", input_text=_SURROUNDINGS + links)
        for command in case.commands:
            host.run(*command.split())
        if case.services:
            host.nft(kube_proxy_rules(case.services))
        for name in case.rules:
            path = DIRECTORY / name
            host.run(*_LOADERS[path.suffix], path)
        _listen(host, case)
        yield host
    finally:
        host.stop_all()
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


def _link(line: str) -> str:
    """Return commands of ip(8) for an interface that has a neighbour: a bridge with one port."""
    name, address = line.split()
    port = f"veth{name[:8]}"
    return (
        f"link add {name} type bridge\nlink add {port} type veth peer name p{port}\nlink set {port} master {name}\n"
        f"link set p{port} up\nlink set {port} up\naddr add {address} dev {name}\nlink set {name} up\n"
    )


def _listen(host: Host, case: Case) -> None:
    wanted = [
        (name, protocol, address, int(port))
        for name, protocol, address, port in map(str.split, case.listeners.splitlines())
    ]
    process = host.start(
        sys.executable, "-m", "tests.support.audit_listeners", json.dumps(wanted), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as lines:
        for _ in range(len({name for name, *_ in wanted}) + 1):
            line = lines.readline()
            assert line == "ready\n", f"a listener did not start: {line!r}"
