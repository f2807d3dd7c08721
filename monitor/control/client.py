"""The client side of the control socket, used by commands."""

import contextlib
import socket
from pathlib import Path
from typing import Any

from monitor.control.protocol import (
    AllowAdd,
    AllowRemove,
    BanOrder,
    Flush,
    Request,
    Unban,
    decode_reply,
    encode,
)
from monitor.model.errors import ConfigError, NodewardenError

_TIMEOUT_S = 15.0
_ORDER_TIMEOUT_S = 300.0
"""For orders, which the daemon carries out in slices between its other work: a hundred thousand bans take a minute."""
_ORDERS = (BanOrder, Unban, AllowAdd, AllowRemove, Flush)


class DaemonUnreachable(NodewardenError):  # noqa: N818 - states the condition
    """The daemon is not running, or this user may not use its socket."""


class RequestRefused(NodewardenError):  # noqa: N818
    """The daemon refused the request; the text says why."""


def ask(path: Path, request: Request) -> Any:
    """Send one request and return its result; DaemonUnreachable and RequestRefused have a text for the operator.

    ConfigError if the daemon refused the configuration.
    """
    timeout_s = _ORDER_TIMEOUT_S if isinstance(request, _ORDERS) else _TIMEOUT_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
        except PermissionError:
            raise DaemonUnreachable(
                f"not allowed to open {path}: run this as root, or as a member of the group that control.group names"
            ) from None
        except OSError as error:
            raise DaemonUnreachable(
                f"nodewarden does not answer on {path} ({error.strerror}): start it with `systemctl start nodewarden` "
                "or `nodewarden run`, or name its socket with --socket"
            ) from None
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the daemon may have refused it already
                connection.sendall(encode(request))
            with connection.makefile("rb") as replies:
                line = replies.readline()
            reply = decode_reply(line)
        except TimeoutError:
            raise DaemonUnreachable(f"nodewarden did not answer within {timeout_s:.0f} s on {path}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise DaemonUnreachable(f"nodewarden closed the connection on {path} during the answer: {error}") from None
    if reply.is_configuration:
        raise ConfigError(reply.error)
    if not reply.ok:
        raise RequestRefused(reply.error)
    return reply.result
