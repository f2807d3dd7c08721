"""Who may be connected to the control socket at a time: bounded by user, with places that only root can take.

Members of the socket's group may hold connections that send nothing. They push out each other's, never those of root.
"""

import asyncio
import enum
import socket
import struct
from collections import Counter

_PEER = struct.Struct("iII")  # struct ucred, linux/socket.h: pid, uid, gid
_ROOT = 0
_MAX_OF_ROOT = 16
_MAX_OF_USER = 8
_MAX_OF_USERS = 24


class Drop(enum.StrEnum):
    """Why a connection was closed without a result."""

    CROWDED = "crowded"
    TIMEOUT = "timeout"
    DESCRIPTORS = "descriptors"


class Client:
    """One connection, and who is behind it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Read who connected (SO_PEERCRED, unix(7))."""
        connection: socket.socket = writer.get_extra_info("socket")
        self.writer = writer
        self.descriptor = connection.fileno()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        self.uid: int = _PEER.unpack(credentials)[1]
        self.is_idle = True
        """Whether it has not sent a whole request yet."""
        self.is_refused = False
        """Whether a newer connection took its place."""

    @property
    def is_root(self) -> bool:
        """Whether it is root's, for which there are places of its own."""
        return self.uid == _ROOT


class Clients:
    """All connections, in the order in which they came."""

    def __init__(self) -> None:
        """Start without any."""
        self._clients: dict[Client, None] = {}

    def admit(self, client: Client) -> tuple[bool, Client | None]:
        """Return whether a connection has a place, and the idle one that must go for it, if any."""
        alike = [one for one in self._clients if one.is_root == client.is_root and not one.is_refused]
        mine = [one for one in alike if one.uid == client.uid]
        limit = _MAX_OF_ROOT if client.is_root else _MAX_OF_USER
        if len(mine) >= limit:
            candidates = mine
        elif len(alike) >= _MAX_OF_USERS:
            held = Counter(one.uid for one in alike)
            candidates = sorted(alike, key=lambda one: -held[one.uid])
        else:
            candidates = []
        gone = next((one for one in candidates if one.is_idle), None)
        has_place = not candidates or gone is not None
        if gone:
            gone.is_refused = True
        if has_place:
            self._clients[client] = None
        return has_place, gone

    def remove(self, client: Client) -> None:
        """Forget a connection that is closed."""
        self._clients.pop(client, None)
