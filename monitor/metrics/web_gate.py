"""Decides who gets to the metrics: TLS and passwords of a web configuration file, read again when a file changes.

Checking a password takes as long as its hash demands, on purpose. So a right one is remembered (as a keyed hash, in
memory only), and wrong ones are checked one at a time (`HttpServer`): guessing delays no scrape that was right before.
"""

import binascii
import contextlib
import hashlib
import os
import secrets
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from monitor.metrics.http_message import HttpRequest
from monitor.metrics.pages import is_open
from monitor.metrics.web_config import WebConfig, make_context, read_web_config
from monitor.model.errors import ConfigError

_LOOK_EVERY_S = 5.0
_MAX_PASSWORD_BYTES = 72
"""Of bcrypt; it ignores what follows."""
_MAX_KNOWN = 64


_T = TypeVar("_T")


class Screened(NamedTuple, Generic[_T]):
    """Connections with their requests, by what becomes of them."""

    admitted: list[tuple[_T, HttpRequest]]
    refused: list[tuple[_T, HttpRequest]]
    later: list[tuple[_T, HttpRequest]]


class WebGate:
    """Wraps connections in TLS and checks passwords; its methods are for the server's thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; ConfigError if it cannot be used."""
        self.trouble = ""
        """Why the files on disk are not in force; empty if they are."""
        self._path = path
        self._clock = clock
        self._looked_s = clock()
        self._seen = self._look(WebConfig())
        self._config, self._context = self._read()
        self._seen = self._look(self._config)
        self._salt = secrets.token_bytes(16)
        self._right: dict[bytes, None] = {}
        self._unknown_user = _hash_like(next(iter(self._config.basic_auth_users.values()), ""))

    @property
    def has_users(self) -> bool:
        """Whether a name and a password are required."""
        return bool(self._config.basic_auth_users)

    def wrap(self, accepted: socket.socket) -> socket.socket:
        """Return the socket with TLS if the file asks for it; the handshake takes place as it is read.

        Files are followed here too: a client that fails in the old handshake never gets to `screen`.
        """
        self.follow()
        if self._context is None:
            return accepted
        return self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)

    @staticmethod
    def awaited(error: Exception) -> int:
        """Return the selector's event for which TLS waits if an error says so; 0: it is a fault."""
        if isinstance(error, ssl.SSLWantWriteError):
            return selectors.EVENT_WRITE
        return selectors.EVENT_READ if isinstance(error, ssl.SSLWantReadError) else 0

    @staticmethod
    def holds_more(wrapped: socket.socket) -> bool:
        """Whether received bytes are left that the selector does not see."""
        return isinstance(wrapped, ssl.SSLSocket) and wrapped.pending() > 0

    @staticmethod
    def finish(wrapped: socket.socket) -> None:
        """Say that this was all; the client's answer is not awaited."""
        if isinstance(wrapped, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                wrapped.unwrap()

    def follow(self) -> None:
        """Read the files again if one changed; if they cannot be used, the old ones stay in force: see `trouble`."""
        now_s = self._clock()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if (seen := self._look(self._config)) == self._seen:
            return
        self._seen = seen
        try:
            self._config, self._context = self._read()
        except ConfigError as error:
            self.trouble = f"metrics are served with the old web configuration: {error}"
            return
        self.trouble = ""
        self._seen = self._look(self._config)
        self._right.clear()

    def screen(self, waiting: Sequence[tuple[_T, HttpRequest]]) -> Screened[_T]:
        """Sort requests: to answer, to refuse, and to come again, since one password is checked at a time."""
        self.follow()
        admitted = [one for one in waiting if self._knows(one[1])]
        unknown = [one for one in waiting if not self._knows(one[1])]
        first, later = unknown[:1], unknown[1:]
        if first and self._admits(first[0][1]):
            return Screened(admitted + first, [], later)
        return Screened(admitted, first, later)

    def _knows(self, request: HttpRequest) -> bool:
        """Whether the request may be answered without checking a password."""
        return not self.has_users or is_open(request) or self._digest(request) in self._right

    def _admits(self, request: HttpRequest) -> bool:
        """Check the password of a request; takes long."""
        import bcrypt

        name, password = _credentials(request)
        hashed = self._config.basic_auth_users.get(name)
        try:
            is_right = bcrypt.checkpw(password, (hashed or self._unknown_user).encode())
        except ValueError:
            return False
        if is_right and hashed:
            if len(self._right) >= _MAX_KNOWN:
                self._right.clear()
            self._right[self._digest(request)] = None
        return is_right and hashed is not None

    def _digest(self, request: HttpRequest) -> bytes:
        given = request.headers.get("authorization", "").encode("latin-1")
        return hashlib.blake2b(given, key=self._salt).digest()

    def _read(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        config = read_web_config(self._path)
        tls = config.tls_server_config
        return config, make_context(self._path, tls) if tls else None

    def _look(self, config: WebConfig) -> list[tuple[int, int, int] | None]:
        """Return what tells whether one of the files changed."""
        return [_identity(path) for path in (self._path, *config.files(self._path.parent))]


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _credentials(request: HttpRequest) -> tuple[str, bytes]:
    """Return name and password of the header (RFC 7617); empty ones if there is none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        name, _, password = binascii.a2b_base64(given.strip(), strict_mode=True).partition(b":")
    except (binascii.Error, ValueError):
        return "", b""
    return name.decode(errors="replace"), password[:_MAX_PASSWORD_BYTES]


def _hash_like(hashed: str) -> str:
    """Return a hash of the same cost that no password has: unknown users take as long as known ones."""
    return (hashed[:29] or "$2b$10$" + "." * 22) + secrets.token_hex(16)[:31]
