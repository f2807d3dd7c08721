"""The server side of the control socket, used by the daemon."""

import asyncio
import contextlib
import grp
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from monitor.control.clients import Client, Clients, Drop
from monitor.control.protocol import MAX_REQUEST_BYTES, Reply, Request, decode_request, encode_reply
from monitor.model.errors import ConfigError, NodewardenError, PermanentError

_BACKLOG = 64
_ACCEPTS_A_TURN = 1
"""asyncio's `backlog` is also how often it accepts in a turn of the loop. When there are no descriptors left it plans a
new attempt for each of them: with a hundred, there are ten thousand a second later, and a million in the third."""
_REQUEST_TIMEOUT_S = 5.0
_REPLY_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 0.5
_TURNS_TO_SERVE = 5
"""Iterations of the loop between accepting a connection and the first line of `_serve`."""
_CROWDED = Reply(ok=False, error="too many commands at once; try again")
_SHORT = Reply(ok=False, error="the daemon is short of file descriptors; try again, or as root")
_log = logging.getLogger(__name__)


class ControlServer:
    """Answers requests on a Unix socket that only root and one group may use."""

    def __init__(
        self,
        path: Path,
        handle: Callable[[Request], Awaitable[Reply]],
        failed: Callable[[str, Exception], None] = lambda _, error: _log.error("internal fault", exc_info=error),
        *,
        reserved_from: int = sys.maxsize,
        request_timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> None:
        """`handle` answers one request, on the loop; `failed` is told of a fault in it.

        Descriptors from the number `reserved_from` on are left to others, except for root's commands.
        """
        self._path = path
        self._handle = handle
        self._failed = failed
        self._reserved_from = reserved_from
        self._request_timeout_s = request_timeout_s
        self._clients = Clients()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._server: asyncio.Server | None = None
        self.dropped: dict[str, int] = dict.fromkeys(Drop, 0)
        """Connections that were closed without a result, by cause."""

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
            if self._tasks:
                await asyncio.wait(filter(None, self._tasks), timeout=_CLOSE_TIMEOUT_S)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the single request of a connection."""
        task = asyncio.current_task()
        self._tasks.add(task)
        client = None
        try:
            client = Client(writer)
            await self._answer(client, reader)
        except OSError:
            pass  # the client is gone
        finally:
            await _close(writer)
            if client:
                self._clients.remove(client)
            self._tasks.discard(task)

    async def _answer(self, client: Client, reader: asyncio.StreamReader) -> None:
        """Give the connection a place, if there is one, and send the reply."""
        if client.descriptor >= self._reserved_from and not client.is_root:
            self.dropped[Drop.DESCRIPTORS] += 1
            client.writer.write(encode_reply(_SHORT))
            return
        has_place, gone = self._clients.admit(client)
        if gone:
            self.dropped[Drop.CROWDED] += 1
            gone.writer.write(encode_reply(_CROWDED))
            gone.writer.close()
        if not has_place:
            self.dropped[Drop.CROWDED] += 1
            client.writer.write(encode_reply(_CROWDED))
            return
        client.writer.write(await self._reply(client, reader))

    async def _reply(self, client: Client, reader: asyncio.StreamReader) -> bytes:
        """Read the request, and return the encoded reply: an error for everything that is no request."""
        try:
            line = await asyncio.wait_for(reader.readline(), self._request_timeout_s)
        except TimeoutError:
            self.dropped[Drop.TIMEOUT] += 1
            return encode_reply(Reply(ok=False, error=f"no whole request within {self._request_timeout_s:g} s"))
        except ValueError:  # asyncio raises it for a line over the limit
            return encode_reply(Reply(ok=False, error=f"the request is longer than {MAX_REQUEST_BYTES} bytes"))
        if client.is_refused:  # what it had sent so far is no order
            return b""
        client.is_idle = False
        try:
            return encode_reply(await self._handle(decode_request(line)))
        except NodewardenError as error:
            return encode_reply(Reply(ok=False, error=str(error), is_configuration=isinstance(error, ConfigError)))
        except Exception as error:  # noqa: BLE001 - for the supervisor: a fault costs this reply
            self._failed("answering a command", error)
            return encode_reply(
                Reply(ok=False, error="an internal fault prevented the answer; see the log of nodewarden")
            )


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection once the client has taken the reply; a client that does not is cut off."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), _REPLY_TIMEOUT_S)
    except (TimeoutError, OSError):
        writer.transport.abort()


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
        except (BlockingIOError, TimeoutError):  # as many wait to be accepted as can (EAGAIN, unix(7))
            return True
        except OSError:
            return False
        return True
