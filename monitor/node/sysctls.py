"""Reads the kernel settings that decide how evidence is read; inotify(7) reports no changes of them: they are polled.

Settings that only weaken or hide evidence are in `kernel_settings`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from monitor.model.sysctls import KERNEL_PORTS, Sysctls
from monitor.node.sysctl_files import SysctlFiles

_PORT_RANGE = "net/ipv4/ip_local_port_range"
_TCP_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal"
_RANGE = re.compile(rb"\s*([0-9]{1,5})\s+([0-9]{1,5})\s*")


def sysctl_files(root: Path = Path("/")) -> SysctlFiles:
    """Return the files of these values below `root`; the caller closes them."""
    return SysctlFiles(root, (_PORT_RANGE, _TCP_LIBERAL))


def read_sysctls(root: Path = Path("/")) -> Sysctls:
    """Return the values below `root`, of the network namespace of the caller; two small reads, without blocking."""
    files = sysctl_files(root)
    try:
        return decoded(files.read())
    finally:
        files.close()


def decoded(texts: Mapping[str, bytes]) -> Sysctls:
    """Return the values of texts by name."""
    return Sysctls(
        local_ports=parse_port_range(texts.get(_PORT_RANGE, b"")),
        is_tcp_liberal=texts.get(_TCP_LIBERAL, b"").strip() not in (b"", b"0"),
    )


def parse_port_range(text: bytes) -> tuple[int, int] | None:
    """Return first and last port of `32768 60999`; None for any other text."""
    match = _RANGE.fullmatch(text)
    ports = (int(match[1]), int(match[2])) if match else (0, 0)
    return ports if 1 <= ports[0] <= ports[1] <= 65_535 else None


def notices(sysctls: Sysctls) -> list[str]:
    """Return what these values keep from working."""
    found = []
    if sysctls.local_ports is None:
        first, last = KERNEL_PORTS
        found.append(f"cannot read net.ipv4.ip_local_port_range: ports {first}-{last} are taken for those of clients")
    return found
