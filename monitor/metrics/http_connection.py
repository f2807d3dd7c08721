"""One connection to the HTTP server: what it waits for, and which one gives way to a new one."""

import enum
import ipaddress
import socket
from collections import Counter
from collections.abc import Collection


class Stage(enum.IntEnum):
    """What a connection waits for; those with the lowest number give way first."""

    CLOSING = 0
    """It was answered; what the client still sends is discarded, so that the kernel does not cut off the answer."""
    READING = 1
    """It has not sent a whole request yet: idle, slow, or just opened."""
    SENDING = 2
    """The client has not taken the whole answer yet."""
    WAITING = 3
    """Its request is complete, and the answer is being made."""


class Connection:
    """A connection with its request and its answer, both bounded."""

    __slots__ = ("deadline_s", "group", "is_registered", "opened_s", "received", "socket", "stage", "unsent")

    def __init__(self, accepted: socket.socket, group: str, now_s: float, deadline_s: float) -> None:
        """Start to read; times are monotonic, in seconds."""
        self.socket = accepted
        self.group = group
        self.opened_s = now_s
        self.deadline_s = deadline_s
        self.stage = Stage.READING
        self.received = b""
        self.unsent = memoryview(b"")
        self.is_registered = False


def group_of(address: str) -> str:
    """Return what shares a fair part of the connections: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def victim(connections: Collection[Connection]) -> Connection | None:
    """Return the connection that gives way to a new one; None if all of them wait for an answer that is being made.

    It is one of the source with the most connections, so that nobody can push out others; of these one that was
    answered, else the oldest that sent no whole request, else the oldest that does not take its answer.
    """
    movable = [one for one in connections if one.stage is not Stage.WAITING]
    held = Counter(one.group for one in connections)
    return min(movable, key=lambda one: (-held[one.group], one.stage, one.opened_s), default=None)
