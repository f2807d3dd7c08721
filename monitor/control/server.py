"""The daemon's side of the control socket."""

import asyncio
import contextlib
import grp
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from monitor.control.protocol import MAX_REQUEST_BYTES, Reply, Request, decode_request, encode
from monitor.model.errors import NodewardenError, PermanentError

_MAX_CONNECTIONS = 32
_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 0.5
_TURNS_TO_SERVE = 5
"""Turns of the loop from accepting a connection to the first line of `_serve`."""
_log = logging.getLogger(__name__)


class ControlServer:
    """Answers requests on a Unix socket that only root and one group may open."""

    def __init__(self, path: Path, handle: Callable[[Request], Reply]) -> None:
        """`handle` answers one request at once, on the loop."""
        self._path = path
        self._handle = handle
        self._connections: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None

    async def open(self, group: str) -> Self:
        """Bind the socket; PermanentError if another daemon answers on it or the place cannot be written."""
        if _answers(self._path):
            raise PermanentError(
                f"another nodewarden answers on {self._path}; stop it, or set control.socket elsewhere"
            )
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            before = os.umask(0o177)  # nobody else may connect in the moment before the group is set
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_REQUEST_BYTES)
            finally:
                os.umask(before)
            self._open_to(group)
        except OSError as error:
            raise PermanentError(
                f"cannot open the control socket {self._path}: {error.strerror}; set control.socket elsewhere"
            ) from error
        return self

    def _open_to(self, group: str) -> None:
        """Let the group use the socket, if there is such a group."""
        try:
            os.chown(self._path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.info("only root may use the control socket: group %r cannot be given to it (%s)", group, error)
            return
        self._path.chmod(0o660)

    async def close(self) -> None:
        """Stop answering, let answers under way go out, and remove the socket."""
        if self._server is not None:
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(_TURNS_TO_SERVE):  # else a connection that was just accepted would be left open, unserved
                await asyncio.sleep(0)
            self._server.close()
            if self._connections:
                await asyncio.wait(filter(None, self._connections), timeout=_CLOSE_TIMEOUT_S)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            if len(self._connections) > _MAX_CONNECTIONS:
                writer.write(encode(Reply(ok=False, error="too many commands at once; try again")))
            else:
                writer.write(encode(await self._reply(reader)))
            await asyncio.wait_for(writer.drain(), _TIMEOUT_S)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def _reply(self, reader: asyncio.StreamReader) -> Reply:
        """Read the request and answer it."""
        try:
            line = await asyncio.wait_for(reader.readline(), _TIMEOUT_S)
        except ValueError:  # asyncio's word for a line over the limit
            return Reply(ok=False, error=f"the request is longer than {MAX_REQUEST_BYTES} bytes")
        return self._answer(line)

    def _answer(self, line: bytes) -> Reply:
        """Decode, handle, and turn what goes wrong into a sentence."""
        try:
            return self._handle(decode_request(line))
        except msgspec.DecodeError as error:
            return Reply(ok=False, error=f"not a request of this version: {error}")
        except NodewardenError as error:
            return Reply(ok=False, error=str(error))


def _answers(path: Path) -> bool:
    """Whether somebody listens on this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
