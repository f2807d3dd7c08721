"""The server side of the control socket, used by the daemon."""

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
_BACKLOG = 64
_ACCEPTS_A_TURN = 1
"""asyncio's `backlog` is also how often it accepts in a turn of the loop. When there are no descriptors left it plans a
new attempt for each of them: with a hundred, there are ten thousand a second later, and a million in the third."""
_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 0.5
_TURNS_TO_SERVE = 5
"""Iterations of the loop between accepting a connection and the first line of `_serve`."""
_log = logging.getLogger(__name__)


class ControlServer:
    """Answers requests on a Unix socket that only root and one group may use."""

    def __init__(self, path: Path, handle: Callable[[Request], Reply]) -> None:
        """`handle` answers one request synchronously, on the loop."""
        self._path = path
        self._handle = handle
        self._connections: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None

    async def open(self, group: str) -> Self:
        """Bind the socket; PermanentError if another daemon answers on it or it cannot be created."""
        if _answers(self._path):
            raise PermanentError(
                f"another nodewarden answers on {self._path}; stop it, or set control.socket elsewhere"
            )
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            listener = _bound(self._path)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listener, limit=MAX_REQUEST_BYTES, backlog=_ACCEPTS_A_TURN
            )
            listener.listen(_BACKLOG)
            self._open_to(group)
        except OSError as error:
            raise PermanentError(
                f"cannot open the control socket {self._path}: {error.strerror}; set control.socket elsewhere"
            ) from error
        return self

    def _open_to(self, group: str) -> None:
        """Let the group use the socket, if the group exists."""
        try:
            os.chown(self._path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.info("only root may use the control socket: its group cannot be set to %r (%s)", group, error)
            return
        self._path.chmod(0o660)

    async def close(self) -> None:
        """Stop accepting requests, finish replies in progress, and remove the socket."""
        if self._server is not None:
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(_TURNS_TO_SERVE):  # otherwise a connection just accepted would stay open without a reply
                await asyncio.sleep(0)
            self._server.close()
            if self._connections:
                await asyncio.wait(filter(None, self._connections), timeout=_CLOSE_TIMEOUT_S)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the single request of a connection."""
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            if len(self._connections) > _MAX_CONNECTIONS:
                writer.write(encode(Reply(ok=False, error="too many commands at once; try again")))
            else:
                writer.write(encode(await self._reply(reader)))
            await asyncio.wait_for(writer.drain(), _TIMEOUT_S)
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def _reply(self, reader: asyncio.StreamReader) -> Reply:
        """Read the request and answer it."""
        try:
            line = await asyncio.wait_for(reader.readline(), _TIMEOUT_S)
        except ValueError:  # asyncio raises it for a line over the limit
            return Reply(ok=False, error=f"the request is longer than {MAX_REQUEST_BYTES} bytes")
        return self._answer(line)

    def _answer(self, line: bytes) -> Reply:
        """Decode and handle a request; errors become a reply with a sentence."""
        try:
            return self._handle(decode_request(line))
        except msgspec.DecodeError as error:
            return Reply(ok=False, error=f"not a request of this version: {error}")
        except NodewardenError as error:
            return Reply(ok=False, error=str(error))


def _bound(path: Path) -> socket.socket:
    """Return a socket that is bound to this path; nobody else may connect before the group is set."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


def _answers(path: Path) -> bool:
    """Whether a process listens on this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
