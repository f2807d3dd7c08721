"""The client side of the control socket, used by commands."""

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

from monitor.control.fleet_requests import FleetPardon
from monitor.control.protocol import (
    AllowAdd,
    AllowRemove,
    BanOrder,
    Flush,
    Request,
    Status,
    Unban,
    decode_reply,
    encode,
)
from monitor.model.errors import ConfigError, NodewardenError

_TIMEOUT_S = 15.0
_STATUS_TIMEOUT_S = 3.0
"""For what monitoring asks again and again: a daemon that takes longer is in trouble."""
_ORDER_TIMEOUT_S = 300.0
"""For orders, which the daemon carries out in slices between its other work: a hundred thousand bans take a minute."""
_AGAIN_S = 0.01
_RECEIVED_BYTES = 1 << 18
_ORDERS = (BanOrder, Unban, AllowAdd, AllowRemove, Flush, FleetPardon)


class DaemonUnreachable(NodewardenError):  # noqa: N818 - states the condition
    """The daemon is not running, or this user may not use its socket."""


class NotAllowed(DaemonUnreachable):
    """This user may not use the socket."""


class NotRunning(DaemonUnreachable):
    """Nothing listens on the socket."""


class UnsendableRequest(NodewardenError):  # noqa: N818
    """An argument cannot be sent."""


class RequestRefused(NodewardenError):  # noqa: N818
    """The daemon refused the request; the text says why."""


def ask(path: Path, request: Request) -> Any:
    """Send one request and return its result.

    DaemonUnreachable, UnsendableRequest and RequestRefused have a text for the operator; ConfigError if the daemon
    refused the configuration.
    """
    try:
        line = encode(request)
    except UnicodeEncodeError as error:
        raise UnsendableRequest(f"an argument is not UTF-8: {error.object!r}") from None
    deadline_s = time.monotonic() + _timeout_s(request)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_timeout_s(request))
        try:
            _connect(connection, path, deadline_s)
        except PermissionError:
            raise NotAllowed(
                f"not allowed to open {path}: run this as root, or as a member of the group that control.group names"
            ) from None
        except TimeoutError:
            raise _unresponsive(path, request) from None
        except OSError as error:
            raise NotRunning(
                f"nodewarden does not answer on {path} ({error.strerror}): start it with `systemctl start nodewarden` "
                "or `nodewarden run`, or name its socket with --socket"
            ) from None
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the daemon may have refused it already
                connection.sendall(line)
            reply = decode_reply(_receive(connection, deadline_s))
        except TimeoutError:
            raise _unresponsive(path, request) from None
        except (OSError, ValueError, RecursionError) as error:
            raise DaemonUnreachable(f"nodewarden closed the connection on {path} during the answer: {error}") from None
    if reply.is_configuration:
        raise ConfigError(reply.error)
    if not reply.ok:
        raise RequestRefused(reply.error)
    return reply.result


def _connect(connection: socket.socket, path: Path, deadline_s: float) -> None:
    """Connect; while too many others wait to be accepted, try again until the deadline, then TimeoutError.

    With a timeout, Python has the socket not block, and connect(2) then fails at once with EAGAIN (unix(7)).
    """
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise TimeoutError from None
            time.sleep(_AGAIN_S)
        else:
            return


def _receive(connection: socket.socket, deadline_s: float) -> bytes:
    """Read until the end of the line or of the connection; TimeoutError at the deadline, whatever came until then."""
    parts = []
    while True:
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        parts.append(connection.recv(_RECEIVED_BYTES))
        if not parts[-1] or parts[-1].endswith(b"\n"):
            return b"".join(parts)


def _timeout_s(request: Request) -> float:
    if isinstance(request, _ORDERS):
        return _ORDER_TIMEOUT_S
    return _STATUS_TIMEOUT_S if isinstance(request, Status) else _TIMEOUT_S


def _unresponsive(path: Path, request: Request) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"nodewarden runs, but did not answer within {_timeout_s(request):g} s on {path}: it is stopped, stuck or "
        "overloaded; see `systemctl status nodewarden` and `journalctl -u nodewarden`. Bans in the kernel stay in force"
    )
