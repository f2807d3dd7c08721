"""Builds the throw-away network namespaces: one plays the node, the other has the far ends of its interfaces.

Both are unnamed: they end with the last process and socket in them, also if that is killed. No packet can leave them.
The copies of interfaces do not resolve neighbours (NOARP), so that every packet goes out at once.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from monitor.audit.kernel.job import Job, LinkCopy
from monitor.audit.kernel.programs import ProgramFailed, enter_network, run, unshare_network

_OWN = "/proc/thread-self/ns/net"
_SYSCTLS = Path("/proc/sys")
_NAME = re.compile(r"[A-Za-z0-9_.:@=+~%-]{1,15}")
_FIRST_INDEX = 10_000
"""Not the index of the far end: a veth for which both are equal counts as up only a second later."""
_GIVEN = ("127.0.0.1/8", "::1/128")
_QUIET = {
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "1000000",
    "net/ipv4/icmp_msgs_burst": "1000000",
    "net/ipv6/icmp/ratelimit": "0",
}
"""In both: no packets but probes and their answers, and no limit on answers; any port can be bound."""


class Network:
    """The two namespaces; the process starts in the one of the far ends."""

    def __init__(self) -> None:
        """Make the namespaces; OSError if the process may not."""
        self.loss: list[str] = []
        unshare_network()
        self.node = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        unshare_network()
        self.outside = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self.macs: dict[str, bytes] = {}
        self.ends: dict[str, str] = {}
        """By interface of the node, the name of its far end."""

    def build(self, job: Job) -> None:
        """Make interfaces with addresses, routes and sysctls; ProgramFailed if there cannot be any."""
        self._write(_QUIET | {"net/ipv6/conf/default/disable_ipv6": "1"})
        enter_network(self.node)
        early = {path: value for path, value in job.sysctls.items() if "/conf/" not in path or "/default/" in path}
        self._write(_QUIET | early)
        enter_network(self.outside)
        links = [link for link in job.links if self._is_usable(link.name)]
        inner, outer = ["link set lo up"], []
        for number, link in enumerate(links):
            if link.name == "lo":
                continue
            self.ends[link.name] = end = f"end{number}"
            mac = link.mac or f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}"
            self.macs[link.name] = bytes.fromhex(mac.replace(":", ""))
            inner.append(
                f"link add name {link.name} index {_FIRST_INDEX + number} address {mac} type veth"
                f" peer name {end} netns {os.getpid()}"
            )
            outer.append(f"link set {end} up")
            inner.append(f"link set {link.name} arp off up")
            if _NAME.fullmatch(link.group) and not link.group.startswith("-"):
                inner.append(f"link set {link.name} group {link.group}")
        run("ip", "-batch", "-", stdin=_lines(inner), namespace=self.node)
        run("ip", "-batch", "-", stdin=_lines(outer))
        self._dress(links, job)

    def _dress(self, links: Iterable[LinkCopy], job: Job) -> None:
        enter_network(self.node)
        # before the addresses: an interface may have IPv6 disabled by default, and enabled for itself
        self._write(
            {path: value for path, value in job.sysctls.items() if "/conf/" in path and "/default/" not in path}
        )
        enter_network(self.outside)
        addresses = [_address(text, link.name) for link in links for text in link.addresses if text not in _GIVEN]
        self._try(addresses, "address")
        self._try([f"-{6 if ':' in route.partition(' ')[0] else 4} {route}" for route in job.routes], "route")

    def _is_usable(self, name: str) -> bool:
        if _NAME.fullmatch(name) and not name.startswith("-"):
            return True
        self.loss.append(f"interface {name[:15]!r}: its name cannot be copied")
        return False

    def _write(self, sysctls: dict[str, str]) -> None:
        """Write sysctls of the namespace that the process is in; some do not exist for every kernel."""
        for path, value in sysctls.items():
            try:
                _SYSCTLS.joinpath(path).write_text(value)
            except FileNotFoundError:
                continue
            except OSError as error:
                if path not in _QUIET:
                    self.loss.append(f"sysctl {path.replace('/', '.')}: {error.strerror}")

    def _try(self, commands: list[str], what: str) -> None:
        """Run commands of ip(8) of which some may fail."""
        for family in ("-4", "-6"):
            lines = [line[3:] for line in commands if line.startswith(family)]
            verb = "addr add " if what == "address" else "route replace "
            if lines:
                try:
                    run(
                        "ip",
                        "-force",
                        family,
                        "-batch",
                        "-",
                        stdin=_lines(verb + one for one in lines),
                        namespace=self.node,
                    )
                except ProgramFailed as error:
                    self.loss.append(f"{what}: {error}")


def _address(text: str, link: str) -> str:
    return f"-6 {text} dev {link} nodad" if ":" in text else f"-4 {text} dev {link}"


def _lines(commands: Iterable[str]) -> bytes:
    return "".join(f"{command}\n" for command in commands).encode()
