"""Positive scenarios: scans by nmap, and the one alert each must raise."""

from collections.abc import Callable

from tests.support.corpus.scenario import (
    ATTACKER,
    ATTACKER4,
    ATTACKER6,
    NEIGHBOUR4,
    NEIGHBOUR6,
    NODE,
    NODE4,
    NODE6,
    Material,
    Scenario,
)
from tests.support.lab import Lab

_NMAP = ("nmap", "-n", "-Pn", "--max-retries", "0", "--min-rate", "500")
_SCANS = {"syn": "-sS", "connect": "-sT", "fin": "-sF", "null": "-sN", "xmas": "-sX", "udp": "-sU"}
_SWEPT4, _SWEPT6 = "10.88.0.96/28", "fd88::60/124"
_ROUTED4, _ROUTED6 = "10.99.0.0/28", "fd99::/124"


def _scan(technique: str, *target: str) -> Callable[[Lab], None]:
    """Return the scan of the hundred most used ports of a target."""

    def traffic(lab: Lab) -> None:
        lab[ATTACKER].run(*_NMAP, technique, "--top-ports", "100", *target)

    return traffic


def _sweep_own_addresses(lab: Lab) -> None:
    """Try SSH on sixteen addresses of the node itself."""
    for number in range(0x60, 0x70):
        lab[NODE].run("ip", "addr", "add", f"10.88.0.{number}/24", "dev", "eth0")
    lab[ATTACKER].run(*_NMAP, "-sS", "-p", "22", _SWEPT4)


def _sweep_own_addresses6(lab: Lab) -> None:
    """Try SSH on sixteen IPv6 addresses of the node itself."""
    for number in range(0x60, 0x70):
        lab[NODE].run("ip", "addr", "add", f"fd88::{number:x}/64", "dev", "eth0", "nodad")
    lab[ATTACKER].run(*_NMAP, "-6", "-sS", "-p", "22", _SWEPT6)


def _sweep_behind(lab: Lab) -> None:
    """Try a Kubelet's port on hosts that the node forwards to, as pods are."""
    lab[NODE].run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    lab[NODE].run("ip", "route", "add", _ROUTED4, "via", NEIGHBOUR4)
    lab[ATTACKER].run("ip", "route", "add", _ROUTED4, "via", NODE4)
    lab[ATTACKER].run(*_NMAP, "-sS", "-p", "10250", _ROUTED4)


def _sweep_behind6(lab: Lab) -> None:
    """Try an SNMP agent's UDP port on hosts behind the node over IPv6."""
    lab[NODE].run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    lab[NODE].run("ip", "route", "add", _ROUTED6, "via", NEIGHBOUR6)
    lab[ATTACKER].run("ip", "route", "add", _ROUTED6, "via", NODE6)
    lab[ATTACKER].run(*_NMAP, "-6", "-sU", "-p", "161", _ROUTED6)


def _scenarios() -> list[Scenario]:
    # nmap sends one packet a port, and some of the hundred lie where the node's own clients have theirs.
    scan = Material(lines=60, ports=60)
    sweep = Material(lines=10, hosts=10)
    by4 = frozenset({("port_scan", ATTACKER4)})
    by6 = frozenset({("port_scan", ATTACKER6)})
    sweep4 = frozenset({("host_sweep", ATTACKER4)})
    sweep6 = frozenset({("host_sweep", ATTACKER6)})
    return [
        *(Scenario(f"scan_{name}_ipv4", _scan(option, NODE4), scan, by4) for name, option in _SCANS.items()),
        *(Scenario(f"scan_{name}_ipv6", _scan(option, "-6", NODE6), scan, by6) for name, option in _SCANS.items()),
        Scenario("sweep_addresses_ipv4", _sweep_own_addresses, sweep, sweep4),
        Scenario("sweep_addresses_ipv6", _sweep_own_addresses6, sweep, sweep6),
        Scenario("sweep_forwarded_ipv4", _sweep_behind, sweep, sweep4),
        Scenario("sweep_forwarded_ipv6", _sweep_behind6, sweep, sweep6),
    ]


ATTACKS = _scenarios()
