"""Reads sysctls, interfaces and uplinks of the network namespace that the audit runs in."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from monitor.files.changes import read_bounded

MAX_INTERFACES = 4096
"""A node with more has all of them in `all`'s value and in the first ones."""
_MAX_VALUE_BYTES = 64
_MAX_ROUTES_BYTES = 1 << 20
_PLAIN = (
    "net.ipv4.ip_forward",
    "net.ipv4.tcp_syncookies",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "net.ipv6.conf.all.forwarding",
)
_OF_INTERFACES = {
    "ipv4": (
        "rp_filter",
        "forwarding",
        "route_localnet",
        "accept_redirects",
        "send_redirects",
        "accept_source_route",
    ),
    "ipv6": ("accept_redirects", "forwarding", "disable_ipv6"),
}
_ANY_V4, _ANY_V6 = "00000000", "0" * 32
_REJECTS = 0x0200
"""RTF_REJECT of <linux/route.h>: an unreachable route goes nowhere."""


def dotted(family: str, interface: str, name: str) -> str:
    """Return the name of an interface's sysctl: `net.ipv4.conf.eth0/100.rp_filter` for eth0.100."""
    return f"net.{family}.conf.{interface.replace('.', '/')}.{name}"


def read_interfaces(root: Path) -> tuple[str, ...]:
    """Return the interfaces with IPv4 settings below `root`, without loopback; empty if there are none to be read."""
    try:
        found = list(islice((root / "proc/sys/net/ipv4/conf").iterdir(), MAX_INTERFACES))
    except OSError:
        return ()
    return tuple(sorted(path.name for path in found if path.name not in ("all", "default", "lo")))


def read_values(root: Path, interfaces: tuple[str, ...]) -> Mapping[str, str]:
    """Return the sysctls below `root` that checks need, by dotted name."""
    return dict(_values(root / "proc/sys", interfaces))


def _values(directory: Path, interfaces: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in _PLAIN:
        yield from _value(directory / name.replace(".", "/"), name)
    for family, names in _OF_INTERFACES.items():
        for interface in ("all", "default", *interfaces):
            for name in names:
                path = directory / "net" / family / "conf" / interface / name
                yield from _value(path, dotted(family, interface, name))


def _value(path: Path, name: str) -> Iterator[tuple[str, str]]:
    text = read_bounded(path, _MAX_VALUE_BYTES)
    if text is not None:
        yield name, text.decode(errors="replace").strip()[:_MAX_VALUE_BYTES]


def read_uplinks(root: Path) -> tuple[str, ...]:
    """Return the interfaces that a default route of the main table leads out of."""
    v4 = _lines(root / "proc/net/route")
    v6 = _lines(root / "proc/net/ipv6_route")
    found = {fields[0] for fields in v4 if len(fields) > 7 and fields[1] == fields[7] == _ANY_V4}
    found |= {
        fields[9]
        for fields in v6
        if len(fields) > 9 and fields[0] == _ANY_V6 and fields[1] == "00" and not _is_rejected(fields[8])
    }
    return tuple(sorted(found - {"lo"}))


def _lines(path: Path) -> list[list[str]]:
    return [
        line.split() for line in (read_bounded(path, _MAX_ROUTES_BYTES) or b"").decode(errors="replace").split("\n")
    ]


def _is_rejected(flags: str) -> bool:
    try:
        return bool(int(flags, 16) & _REJECTS)
    except ValueError:
        return True
