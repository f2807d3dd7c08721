"""Reads replies of a server, version 2 of the protocol, with a bound on everything.

The parsers of redis-py take what the server announces: a peer that writes 500 MB into a field of its hash would have
every node allocate them. This one refuses at the announcement, before a byte of it is read. The connection is lost
then, so the reader must not ask for the same again.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import re
from typing import Any, TypeAlias, cast

from redis._parsers.base import AsyncBaseParser
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

MAX_BULK_BYTES = 16 * 1024
"""One string: a hello has 4 KiB at most, a record 512 bytes."""
MAX_REPLY_BYTES = 2 << 20
MAX_ITEMS = 16 * 1024
MAX_DEPTH = 6
_MAX_LINE_BYTES = 1024
_CHUNK_BYTES = 64 * 1024
_INTEGER = re.compile(rb"-?[0-9]{1,20}")

Reply: TypeAlias = "bytes | int | list[Reply] | ResponseError | None"


class OversizeError(RedisError):
    """A reply is larger than anything that we write."""


class BoundedParser(AsyncBaseParser):
    """Reads one reply at a time from the stream of a connection."""

    def __init__(self, socket_read_size: int) -> None:
        """`socket_read_size` is what redis-py reads at once; chunks have a size of their own here."""
        super().__init__(socket_read_size)
        self._buffer = bytearray()
        self._position = 0
        self._is_connected = False

    def on_connect(self, connection: Any) -> None:
        """Start to read from a new connection."""
        self._stream = connection._reader
        self._buffer.clear()
        self._position = 0
        self._is_connected = True

    def on_disconnect(self) -> None:
        """Stop reading."""
        self._stream = None
        self._buffer.clear()
        self._is_connected = False

    async def can_read(self) -> bool:
        """Whether a part of a reply is there."""
        return len(self._buffer) > self._position

    async def can_read_destructive(self) -> bool:
        """As `can_read`: the name that versions before 8 use."""
        return await self.can_read()

    async def read_response(self, disable_decoding: bool = False) -> Any:  # noqa: FBT001, FBT002, ARG002 - as redis-py
        """Return the next reply; errors of the server are returned, unless they end the connection.

        Raises OversizeError, InvalidResponse if this is no Redis protocol, and redis-py's ConnectionError.
        """
        del self._buffer[: self._position]
        self._position = 0
        open_lists: list[tuple[int, list[Reply]]] = []
        items, size = 0, 0
        while True:
            line = await self._line()
            items += 1
            size += len(line)
            value: Reply
            kind, text = line[:1], line[1:]
            if kind == b"$" and text != b"-1":
                value = await self._bulk(_number(line, MAX_BULK_BYTES))
                size += len(value)
            elif kind == b"*" and text not in (b"-1", b"0"):
                open_lists.append((_number(line, MAX_ITEMS), []))
                if len(open_lists) > MAX_DEPTH:
                    raise OversizeError("a reply nests deeper than any that was asked for")
                continue
            else:
                value = self._simple(kind, text)
            if items > MAX_ITEMS or size > MAX_REPLY_BYTES:
                raise OversizeError(f"a reply has more than {MAX_ITEMS} items or {MAX_REPLY_BYTES} bytes")
            while open_lists:
                length, values = open_lists[-1]
                values.append(value)
                if len(values) < length:
                    break
                open_lists.pop()
                value = values
            else:
                return value

    def _simple(self, kind: bytes, text: bytes) -> Reply:
        if kind == b"+":
            return text
        if kind == b":":
            return _integer(text)
        if kind in (b"$", b"*"):
            return [] if text == b"0" else None
        if kind == b"-":
            return self._error(text.decode("utf-8", errors="replace"))
        raise InvalidResponse("it answers something else than the Redis protocol")

    def _error(self, text: str) -> ResponseError:
        try:
            error = cast("Exception", self.parse_error(text))  # type: ignore[no-untyped-call]
        except (ValueError, IndexError):  # a redirection that leads nowhere
            return ResponseError(text)
        if isinstance(error, LostError):
            raise error
        return error if isinstance(error, ResponseError) else ResponseError(text)

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._position)) < 0:
            if len(self._buffer) - self._position > _MAX_LINE_BYTES:
                raise InvalidResponse("it answers with a line that is no Redis protocol")
            await self._more()
        line = bytes(self._buffer[self._position : end])
        if len(line) > _MAX_LINE_BYTES:
            raise InvalidResponse("it answers with a line that is no Redis protocol")
        self._position = end + 2
        return line

    async def _bulk(self, length: int) -> bytes:
        end = self._position + length
        while len(self._buffer) < end + 2:
            await self._more()
        value = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return value

    async def _more(self) -> None:
        stream = self._stream if self._is_connected else None
        data = await stream.read(_CHUNK_BYTES) if stream is not None else b""
        if not data:
            raise LostError("the server closed the connection")
        self._buffer += data


def _number(line: bytes, limit: int) -> int:
    """Return the length that a line announces."""
    length = _integer(line[1:])
    if length < 0:
        raise InvalidResponse("it announces a negative length")
    if length > limit:
        raise OversizeError(f"a reply announces {length} {'bytes' if line[:1] == b'$' else 'items'}")
    return length


def _integer(text: bytes) -> int:
    if not _INTEGER.fullmatch(text):
        raise InvalidResponse("it answers something else than the Redis protocol")
    return int(text)
