"""Kernel settings of the node on which evidence depends."""

from collections.abc import Iterable

import msgspec

KERNEL_PORTS = (32_768, 60_999)
"""First and last port of net.ipv4.ip_local_port_range where nobody has changed it."""


class Ports:
    """A set of ports, as a few ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = (KERNEL_PORTS,)) -> None:
        """Take the first and last port of each range."""
        self.ranges = tuple(sorted(set(ranges)))

    def __contains__(self, port: int) -> bool:
        """Whether the port is in one of the ranges."""
        for first, last in self.ranges:  # noqa: SIM110 - any() takes four times as long
            if first <= port <= last:
                return True
        return False


class Sysctls(msgspec.Struct, frozen=True):
    """Values of sysctls as they were read last."""

    local_ports: tuple[int, int] | None = None
    """net.ipv4.ip_local_port_range: the ports that the kernel gives to clients; None if it cannot be read."""
    is_tcp_liberal: bool = False
    """net.netfilter.nf_conntrack_tcp_be_liberal: whether packets outside of the window complete a handshake."""
