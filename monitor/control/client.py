"""The command's side of the control socket."""

import socket
from pathlib import Path
from typing import Any

import msgspec

from monitor.control.protocol import Request, decode_reply, encode
from monitor.model.errors import NodewardenError

_TIMEOUT_S = 15.0


class DaemonUnreachable(NodewardenError):  # noqa: N818 - says what is so, and what to do about it
    """There is no daemon to talk to, or this user may not."""


class RequestRefused(NodewardenError):  # noqa: N818
    """The daemon answered that it will not or cannot."""


def ask(path: Path, request: Request) -> Any:
    """Send one request and return its result; DaemonUnreachable and RequestRefused explain themselves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
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
            connection.sendall(encode(request))
            with connection.makefile("rb") as replies:
                line = replies.readline()
            reply = decode_reply(line)
        except TimeoutError:
            raise DaemonUnreachable(f"nodewarden took longer than {_TIMEOUT_S:.0f} s to answer on {path}") from None
        except (OSError, msgspec.DecodeError) as error:
            raise DaemonUnreachable(f"nodewarden broke off the answer on {path}: {error}") from None
    if not reply.ok:
        raise RequestRefused(reply.error)
    return reply.result
