"""Waits for a ban in the kernels of several nodes at once."""

import contextlib
import selectors
import time
from collections.abc import Sequence
from typing import Self

from bench.registry import BenchmarkError
from bench.set_watch import SetWatch
from monitor.enforcers import netlink
from monitor.model.addresses import parse_address
from tests.support.lab import Host


class KernelWatch:
    """Notifications of new elements on several hosts; a context manager."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Start to listen."""
        self._stack = contextlib.ExitStack()
        self._selector = selectors.EpollSelector()
        for number, host in enumerate(hosts):
            watch = self._stack.enter_context(SetWatch(host))
            self._selector.register(watch, selectors.EVENT_READ, number)
        self._count = len(hosts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        self._stack.close()

    def wait_for(self, address: str, timeout_s: float) -> list[float]:
        """Return when each host had the address (CLOCK_MONOTONIC, seconds), in the order of the hosts."""
        key, seen = parse_address(address), dict[int, float]()
        deadline_s = time.monotonic() + timeout_s
        while len(seen) < self._count:
            ready = self._selector.select(max(0.0, deadline_s - time.monotonic()))
            if not ready:
                raise BenchmarkError(f"{address} is in {len(seen)} of {self._count} kernels after {timeout_s:g} s")
            for selected, _ in ready:
                watch = selected.fileobj
                assert isinstance(watch, SetWatch)
                arrived_s, replies = watch.read(0.1)
                if any(_adds(reply, key) for reply in replies):
                    seen.setdefault(selected.data, arrived_s)
        return [seen[number] for number in range(self._count)]


def _adds(reply: netlink.NetlinkReply, key: bytes) -> bool:
    return reply.type == netlink.NEW_ELEMENTS and any(
        element.key == key for element in netlink.decode_elements(reply.body)
    )
