"""One connection to the HTTP server: its bounds, what it waits for, and which one gives way to a new one."""

import enum
import ipaddress
import socket
from collections import Counter
from collections.abc import Collection

import msgspec


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


class HttpLimits(msgspec.Struct, frozen=True):
    """The bounds, with defaults for a handful of Prometheus servers."""

    connections: int = 64
    read_s: float = 5.0
    """From accepting a connection to its whole request."""
    send_s: float = 10.0
    """From the first to the last byte of an answer."""
    linger_s: float = 1.0
    """From the last byte of an answer until the client has closed."""
    share: float = 0.1
    """The share of time that making answers may take in the long run; more requests wait and are answered together."""
    burst_s: float = 2.0
    """Time for making answers that may be spent at once, after a time without requests."""


class Drop(enum.StrEnum):
    """Why a connection was closed without an answer."""

    CROWDED = "crowded"
    TIMEOUT = "timeout"
    DESCRIPTORS = "descriptors"


class Connection:
    """A connection with its request and its answer, both bounded."""

    __slots__ = (
        "deadline_s",
        "event",
        "is_monitoring",
        "opened_s",
        "peer",
        "received",
        "socket",
        "stage",
        "unsent",
    )

    def __init__(self, accepted: socket.socket, peer: str, now_s: float, deadline_s: float) -> None:
        """Start to read; `peer` is the address at the other end, times are monotonic, in seconds."""
        self.socket = accepted
        self.peer = peer
        self.is_monitoring = False
        self.opened_s = now_s
        self.deadline_s = deadline_s
        self.stage = Stage.READING
        self.received = b""
        self.unsent = memoryview(b"")
        self.event = 0
        """What the selector waits for; 0 if nothing."""


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
    groups = {one: group_of(one.peer) for one in connections}
    held = Counter(groups.values())
    return min(movable, key=lambda one: (-held[groups[one]], one.stage, one.opened_s), default=None)
