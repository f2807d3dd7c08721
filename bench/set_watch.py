"""Receives the kernel's notifications of new elements in nftables sets, without listing a set."""

import socket
import time
from types import TracebackType
from typing import Self

from monitor.enforcers import netlink
from monitor.enforcers.netlink import NetlinkReply
from tests.support.lab import Host

_NETLINK_NETFILTER = 12  # linux/netlink.h
_NFNLGRP_NFTABLES = 7  # linux/netfilter/nfnetlink.h
_DATAGRAM_BYTES = 1 << 16


class SetWatch:
    """A subscription to the notifications of nf_tables on one host."""

    def __init__(self, host: Host) -> None:
        with host.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.bind((0, 1 << _NFNLGRP_NFTABLES - 1))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait for several."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()

    def read(self, timeout_s: float) -> tuple[float, list[NetlinkReply]]:
        """Return the next notifications and when they came (CLOCK_MONOTONIC, seconds); none after the timeout."""
        self._socket.settimeout(timeout_s)
        try:
            datagram = self._socket.recv(_DATAGRAM_BYTES)
        except TimeoutError:
            return time.monotonic(), []
        return time.monotonic(), list(netlink.decode_replies(datagram))

    def wait_for(self, address: bytes, timeout_s: float) -> float | None:
        """Return the time (CLOCK_MONOTONIC, seconds) of the notification of this address; None if there was none."""
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            arrived_s, replies = self.read(left_s)
            for reply in replies:
                if reply.type == netlink.NEW_ELEMENTS and any(
                    element.key == address for element in netlink.decode_elements(reply.body)
                ):
                    return arrived_s
        return None
