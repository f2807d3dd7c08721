"""Real attackers: how many scans by nmap, and how many sources of a brute force, are found."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon, wait_for
from tests.support.installed import install
from tests.support.lab import Host, Lab
from tests.support.node import UNIT, Node

_PORTS = "1-1000"
_SCANS = {
    "SYN": ("-sS",),
    "connect": ("-sT",),
    "UDP": ("-sU",),
    "FIN": ("-sF",),
    "NULL": ("-sN",),
    "Xmas": ("-sX",),
    "SYN/FIN": ("-sS", "--scanflags", "SYNFIN"),
    "ACK": ("-sA",),
    "Maimon": ("-sM",),
    "window": ("-sW",),
}
_FIREWALLS = {
    "no firewall": "",
    "no log rules": "ct state established,related accept; tcp dport 22 accept; drop;",
    "log rules": 'ct state established,related accept; tcp dport 22 accept; log prefix "drop: "; drop;',
}
_SLOW_PORTS = 30
_SLOW_PAUSE_S = 0.3
_SETTLE_S = 4.0
_SOURCES = 50
_BRUTE_FORCE_S = 60.0


@benchmark("real_scans_found_percent")
def real_scans() -> Iterator[Figure]:
    """Measure which share of scans is found: of 1,000 ports by nmap, in ten modes, and a slow one; three firewalls.

    A scan is found if a detector raises an alert about its source, by default settings. The unit of this figure is
    percent of 33 scans. Not found by design are ACK, Maimon and window scans where nothing is logged
    (docs/what-is-seen.md). No peer.
    """
    found, missed = 0, []
    for firewall, rules in _FIREWALLS.items():
        for name in (*_SCANS, "slow"):
            if _is_found(rules, name):
                found += 1
            else:
                missed.append(f"{name} ({firewall})")
        progress(f"{firewall}: {found} found so far")
    progress(f"not found: {', '.join(missed) or 'none'}")
    yield Figure("real_scans_found_percent", 100.0 * found / (found + len(missed)), "%")


def _is_found(rules: str, name: str) -> bool:
    with Lab("node", "attacker", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        node, attacker = lab["node"], lab["attacker"]
        if rules:
            body = "\n".join(f"{rule};" for rule in rules.split("; ")).replace(";;", ";")
            node.nft(f"table inet firewall {{\nchain c {{\ntype filter hook input priority 0;\n{body}\n}}\n}}")
        daemon = Daemon(node, Path(directory))
        daemon.start()
        wait_for(lambda: _is_counting_drops(daemon), "the drop counters", lambda: daemon.log, 30)
        _scan(attacker, name, node.address4)
        time.sleep(_SETTLE_S)
        alerts = daemon.ask("why", attacker.address4)["history"]
        daemon.stop()
        return bool(alerts)


def _is_counting_drops(daemon: Daemon) -> bool:
    return any(one["name"] == "drops" and one["state"] == "up" for one in daemon.ask("status")["sources"])


def _scan(attacker: Host, name: str, target: str) -> None:
    fast = ("nmap", "-n", "-Pn", "-T5", "--max-retries", "0", "--host-timeout", "20s")
    if name == "slow":
        for port in range(1000, 1000 + _SLOW_PORTS):
            attacker.run(*fast, "-sS", "-p", str(port), target, check=False)
            time.sleep(_SLOW_PAUSE_S)
    else:
        attacker.run(*fast, *_SCANS[name], "-p", _PORTS, target, check=False)


@benchmark("real_bruteforce_found_percent")
def real_brute_force() -> Iterator[Figure]:
    """Measure which share of 50 sources is banned within 60 s, of a brute force by medusa on a real sshd.

    nodewarden is installed in a booted Debian 12 and reads sshd's entries in the journal. No peer.
    """
    addresses = [f"10.88.0.{number}" for number in range(100, 100 + _SOURCES)]
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        Lab("node", "attacker", "neighbour", label="bench") as lab,
        Node(lab, install(Path(directory) / "layer")) as node,
    ):
        for address in addresses:
            node.attacker.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        choice = ", ".join(f"{number} : {address}" for number, address in enumerate(addresses))
        node.attacker.nft(
            "table ip sources {\nchain c {\ntype nat hook postrouting priority srcnat;\n"
            f"tcp dport 22 snat to numgen inc mod {_SOURCES} map {{ {choice} }};\n}}\n}}"
        )
        passwords = Path(directory) / "passwords"
        passwords.write_text("\n".join(f"wrong{number}" for number in range(2000)))
        guess = (
            "medusa",
            "-h",
            node.host.address4,
            "-u",
            "root",
            "-P",
            passwords,
            "-M",
            "ssh",
            "-t",
            str(_SOURCES),
        )  # a banned thread waits
        node.attacker.start(*guess)
        stop_s = time.monotonic() + _BRUTE_FORCE_S
        banned: set[str] = set()
        while time.monotonic() < stop_s and len(banned) < _SOURCES:
            time.sleep(1.0)
            banned = set(node.banned()) & set(addresses)
        if not banned:
            raise BenchmarkError(f"nobody was banned: {node.log(UNIT)}")
        progress(f"{len(banned)} of {_SOURCES} sources are banned")
        yield Figure("real_bruteforce_found_percent", 100.0 * len(banned) / _SOURCES, "%")
