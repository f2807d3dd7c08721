"""An audit changes nothing on the node that it audits: rules, counters, interfaces, routes, sysctls, connections."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.audit_cases import Case
from tests.support.audit_node import audit_node
from tests.support.daemon import wait_for
from tests.support.lab import Host
from tests.support.needs import needs
from tests.support.processes import descendants

pytestmark = pytest.mark.kernel

CASE = Case(
    title="A node with something of everything",
    rules=("kube-proxy.v4", "ufw.v6", "ipset.v4", "drop-input.nft", "banned.nft"),
    services=300,
    links=("cni0 10.244.0.1/24",),
    commands=(
        "ipset create admins hash:net family inet",
        "ipset add admins 198.51.100.0/24",
        "ipset create open bitmap:port range 0-65535",
        "ipset add open 443",
        "ip rule add fwmark 0x1 lookup 100",
        "ip route add local default dev lo table 100",
    ),
    listeners="sshd tcp :: 22\netcd tcp 0.0.0.0 2379\ndnsmasq udp :: 53\n",
    expected="",
)
AUDIT = (sys.executable, "-c", "from monitor.cli.main import cli; cli()", "audit", "--json")
SHOWN = (
    "iptables-nft-save -c",
    "ip6tables-nft-save -c",
    "ipset save",
    "ip -d link",
    "ip addr",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule",
    "ip -6 rule",
    "ip neigh",
    "conntrack -L",
    "tc qdisc",
    "ss -tuan",
)
OF_THE_MACHINE = ("nf_log_all_netns", "nf_conntrack_count")
"""Settings under /proc/sys/net that other tests change meanwhile, or that count."""
_DATED = re.compile(r"(?m)^# .* on .*\n")


def state(node: Host) -> dict[str, str]:
    """Return all that a node shows of itself; without the time that elements and connections have left."""
    shown = {command: _DATED.sub("", node.run(*command.split(), check=False).stdout) for command in SHOWN}
    shown["conntrack -L"] = re.sub(r"(?m)^(\w+ +\d+) \d+", r"\1", shown["conntrack -L"])
    shown["ip -d link"] = re.sub(r"timer +[\d.]+", "timer", shown["ip -d link"])
    shown["nft"] = node.run("nft", "-a", "list", "ruleset").stdout.partition("table inet nodewarden")[0]
    shown["nft -s"] = node.run("nft", "-a", "-s", "list", "ruleset").stdout
    with node.entered():
        shown |= dict(sysctls())
    return shown


def sysctls() -> Iterator[tuple[str, str]]:
    """Yield the settings of the network namespace of this thread."""
    for directory, _, names in os.walk("/proc/sys/net"):
        for path in (Path(directory, name) for name in names if name not in OF_THE_MACHINE):
            with contextlib.suppress(OSError):
                yield str(path), path.read_text(errors="replace")


def namespaces() -> set[int]:
    """Return the network namespaces in which a process is."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(path.stat().st_ino)
    return found


def namespace(pid: int) -> int:
    """Return the network namespace of a process; 0 if it ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    return 0


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a node with rules of every kind."""
    needs("nft", "ip", "iptables-nft-restore", "ipset", "conntrack", "tc", "ss")
    with audit_node(CASE) as node:
        quiet(node)
        yield node


def quiet(node: Host) -> None:
    """Wait until a new node has announced its addresses, and shows the same for a second."""
    states = [state(node)]

    def is_quiet() -> bool:
        time.sleep(1)
        states.append(state(node))
        return states[-1] == states[-2]

    wait_for(is_quiet, "a quiet node", lambda: str(differences(states[-2], states[-1])))


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return what is not the same, byte by byte."""
    keys = before.keys() | after.keys()
    return {key: (before.get(key, ""), after.get(key, "")) for key in keys if before.get(key) != after.get(key)}


def test_an_audit_changes_nothing(node: Host) -> None:
    """After an audit the node shows byte by byte what it showed before, and no process is left."""
    before = state(node)
    done = node.run(*AUDIT, check=False)
    assert '"tcp/22"' in done.stdout, done.stderr
    assert differences(before, state(node)) == {}


def test_an_audit_that_is_killed_changes_nothing(node: Host) -> None:
    """Killed while packets are in its copy, it leaves the node as it was, no process and no namespace."""
    before = state(node)
    audit = node.start(*AUDIT, stdout=subprocess.DEVNULL)
    known = (0, namespace(os.getpid()), Path(f"/run/netns/{node.namespace}").stat().st_ino)

    def copies() -> list[int]:
        return [found for pid in descendants(audit.pid) if (found := namespace(pid)) not in known]

    wait_for(lambda: bool(copies()), "the copy of the rules")
    left = descendants(audit.pid)
    made = set(copies())
    os.kill(audit.pid, signal.SIGKILL)
    audit.wait()
    wait_for(lambda: not any(map(namespace, left)), "the end of all children")
    assert not made & namespaces()
    assert differences(before, state(node)) == {}
