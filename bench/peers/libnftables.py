"""libnftables in a long-lived context, as used by a daemon without its own netlink code.

Only benchmarks use it: python3-nftables is a package for development.
"""

import time
from collections.abc import Iterable
from typing import Protocol

from bench.registry import BenchmarkError
from monitor.model.addresses import Address, format_address
from tests.support.lab import Host

_TABLE = """
table inet peer {
    set hosts4 { type ipv4_addr; flags timeout; counter; }
    set hosts6 { type ipv6_addr; flags timeout; counter; }
}
"""


class _Context(Protocol):
    def cmd(self, cmdline: str) -> tuple[int, str, str]: ...


class Libnftables:
    """One context on a host of the lab, with a table and sets like ours."""

    def __init__(self, host: Host) -> None:
        """Create the table; the context is from the Python module of nftables."""
        from nftables import Nftables

        host.nft(_TABLE)
        with host.entered():
            self._context: _Context = Nftables()

    def add_s(self, addresses: Iterable[Address]) -> list[float]:
        """Ban each address by a separate command; return the time of each, in seconds."""
        took = []
        for address in addresses:
            name = "hosts4" if len(address) == 4 else "hosts6"
            command = f"add element inet peer {name} {{ {format_address(address)} timeout 1h }}"
            start_s = time.perf_counter()
            code, _, errors = self._context.cmd(command)
            took.append(time.perf_counter() - start_s)
            if code:
                raise BenchmarkError(f"libnftables: {errors}")
        return took
