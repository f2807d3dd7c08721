"""One connection to a server: commands out, replies in, in slices that do not hold the loop."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, cast

from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from monitor.fleet.redis.address import Endpoint
from monitor.fleet.redis.resp import BoundedParser, Reply

CONNECT_S = 2.0
"""For TCP and TLS. Shorter than the third SYN: in a black hole, new attempts send one each second."""
REPLY_S = 5.0

Command: TypeAlias = "tuple[bytes | str | int, ...]"


class _Connection(Protocol):
    """What is used of redis-py's connections."""

    is_connected: bool

    async def connect(self) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None: ...
    async def read_response(self, *, disable_decoding: bool) -> Reply: ...
    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...


class _Named(Connection):
    """Connects to an address that is known already, and expects the certificate of the host's name."""

    def __init__(self, *, address: str, tls: ssl.SSLContext | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._address, self._tls = address, tls

    def _connection_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"host": self._address, "port": self.port}
        if self._tls is not None:
            arguments |= {"ssl": self._tls, "server_hostname": self.host}
        return arguments


class _Local(UnixDomainSocketConnection):
    """Connects to a socket; redis-py's own authenticates twice, and hides what came of it."""

    async def _connect(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            self._reader, self._writer = await asyncio.open_unix_connection(path=self.path)


class Link:
    """A connection that is open; whatever fails closes it for good."""

    def __init__(self, endpoint: Endpoint, connection: _Connection, reply_s: float) -> None:
        """Use `open_link`."""
        self.endpoint = endpoint
        self._connection, self._reply_s = connection, reply_s
        self._turn = asyncio.Lock()

    async def call(self, *commands: Command) -> list[Reply]:
        """Send commands at once and return their replies, errors of single ones among them.

        Raises RedisError, OSError or TimeoutError if the connection is lost or answers what nobody asked for.
        """
        async with self._turn:
            if not self._connection.is_connected:
                raise LostError("the connection is closed")
            packed = self._connection.pack_commands(commands)
            async with asyncio.timeout(self._reply_s):  # one for all: those of redis-py make a task each
                await self._connection.send_packed_command(packed, check_health=False)
                return [await self._reply() for _ in commands]

    async def one(self, *command: bytes | str | int) -> Reply:
        """Send one command and return its reply; raises ResponseError if that is an error."""
        (reply,) = await self.call(command)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def close(self) -> None:
        """Close it, without waiting for the other side."""
        await self._connection.disconnect(nowait=True)

    async def _reply(self) -> Reply:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error


async def open_link(
    endpoint: Endpoint,
    address: str,
    *,
    tls: ssl.SSLContext | None,
    username: str,
    password: str,
    database: int = 0,
    reply_s: float = REPLY_S,
) -> Link:
    """Connect and authenticate; `address` is one of the host's. Raises RedisError or OSError."""
    shared: dict[str, Any] = {
        "db": database,
        "username": username or None,
        "password": password or None,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_S,
        "parser_class": BoundedParser,
        "protocol": 2,
        "driver_info": None,
    }
    made: object
    if endpoint.path:
        made = _Local(path=endpoint.path, **shared)
    else:
        made = _Named(address=address, tls=tls, host=endpoint.host, port=endpoint.port, **shared)
    connection = cast("_Connection", made)
    try:
        async with asyncio.timeout(CONNECT_S + REPLY_S):
            await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return Link(endpoint, connection, reply_s)
