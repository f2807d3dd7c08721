"""Fetches a list over HTTP: bounded in time and size, and not to be led astray by the server.

The URL is the operator's, a redirect is not: at most three, from https to https only, and none to an address that only
this node or its network can reach, unless the URL itself is there. The name is resolved once for each request, and the
address that was examined is the one that is connected to. A watchdog shuts the connection down when the time is over:
a server that sends a byte a minute, in the handshake, a header or the body, cannot hold the child.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn
from urllib.parse import SplitResult, urlsplit

from monitor import __version__
from monitor.lists.faults import ListCause, ListFault
from monitor.lists.urls import is_special, next_url, source_of
from monitor.model.addresses import Address, fold_mapped, parse_address
from monitor.model.errors import explain
from monitor.model.printable import printable

_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 16
_VALIDATOR_CHARS = 512


class FetchLimits(NamedTuple):
    """Bounds of one fetch, redirects included."""

    total_s: float = 300.0
    idle_s: float = 30.0
    wire_bytes: int = 64 << 20


class Validators(NamedTuple):
    """What a server said of a version of the list, so that it can answer that it has no newer one."""

    etag: str = ""
    last_modified: str = ""


class Fetched(NamedTuple):
    """The answer of a server; the chunks are read while it is open."""

    is_modified: bool
    validators: Validators
    chunks: Iterator[bytes]
    is_complete: bool
    """Whether a content that ends early would be noticed."""


IsInner = Callable[[Address], bool]
NOTHING_KNOWN = Validators()
LIMITS = FetchLimits()


@contextlib.contextmanager
def fetch(
    url: str, known: Validators = NOTHING_KNOWN, is_inner: IsInner = is_special, limits: FetchLimits = LIMITS
) -> Iterator[Fetched]:
    """Request a list; ListFault says why there is none, also while the chunks are read.

    `is_inner` says of an address that the Internet has no business to lead us there.
    """
    fetching = _Fetching(is_inner, limits)
    try:
        yield fetching.open(url, known)
    except ListFault:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        fetching.explain(error)
    finally:
        fetching.close()


class _Fetching:
    """One fetch. Its watchdog is a thread, since a blocking call in the main one cannot watch the clock."""

    def __init__(self, is_inner: IsInner, limits: FetchLimits) -> None:
        self._is_inner = is_inner
        self._limits = limits
        self._deadline_s = time.monotonic() + limits.total_s
        self._is_over = False
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._lock = threading.Lock()
        self._watchdog = threading.Timer(limits.total_s, self._time_is_over)
        self._watchdog.daemon = True
        self._watchdog.start()

    def open(self, url: str, known: Validators) -> Fetched:
        """Follow redirects to the answer."""
        was_inner = False
        for hop in range(_MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            addresses = self._resolve(parts)
            inner = any(self._is_inner(address) for address in addresses)
            if hop and inner and not was_inner:
                raise ListFault(
                    ListCause.REDIRECT, f"it redirects to {source_of(url)}, an address inside of this network"
                )
            was_inner = inner if not hop else was_inner
            response = self._request(parts, addresses, known)
            if response.status not in _REDIRECTS:
                return self._answer(response, known)
            url = next_url(url, response.getheader("Location") or "")
        raise ListFault(ListCause.REDIRECT, f"more than {_MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """Close the connection."""
        self._watchdog.cancel()
        if self._response is not None:
            self._response.close()
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    def explain(self, error: Exception) -> NoReturn:
        """Raise the fault that an error of the network amounts to."""
        if self._is_over or isinstance(error, TimeoutError):
            limit_s = self._limits.total_s if self._is_over else self._limits.idle_s
            raise ListFault(ListCause.TIMEOUT, f"the server took longer than {limit_s:g} s") from None
        if isinstance(error, ssl.SSLCertVerificationError):
            raise ListFault(ListCause.CERTIFICATE, f"its certificate is not valid: {error.verify_message}") from None
        if isinstance(error, ssl.SSLError):
            raise ListFault(ListCause.CERTIFICATE, _explain_tls(error)) from None
        if isinstance(error, http.client.IncompleteRead):
            raise ListFault(ListCause.TRUNCATED, "the connection ended before the content did") from None
        text = printable(explain(error))[:200] or type(error).__name__
        raise ListFault(ListCause.UNREACHABLE, f"the server cannot be reached: {text}") from None

    def _time_is_over(self) -> None:
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # wakes whoever reads or writes
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _left_s(self) -> float:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0 or self._is_over:
            self._is_over = True
            raise TimeoutError
        return min(left_s, self._limits.idle_s)

    def _resolve(self, parts: SplitResult) -> list[Address]:
        """Return the addresses of a host. getaddrinfo(3) cannot be interrupted, so nothing waits for its thread."""
        host = parts.hostname or ""
        with contextlib.suppress(ValueError):
            return [parse_address(host)]
        found: list[Address] | Exception = TimeoutError()

        def look_up() -> None:
            nonlocal found
            try:
                some = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                packed = [socket.inet_pton(one[0], str(one[4][0]).partition("%")[0]) for one in some]
                found = list(dict.fromkeys(map(fold_mapped, packed)))
            except (OSError, UnicodeError) as error:
                found = error

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(self._left_s())
        if isinstance(found, TimeoutError):
            raise found
        if isinstance(found, Exception) or not found:
            why = explain(found) if isinstance(found, Exception) else "it has no address"
            raise ListFault(
                ListCause.UNREACHABLE, f"{printable(host)[:253]} cannot be resolved: {printable(why)[:200]}"
            )
        return found

    def _connect(self, addresses: list[Address], port: int) -> socket.socket:
        """Connect to the first address that answers."""
        failure: OSError = OSError("no address")
        for address in addresses:
            one = socket.socket(socket.AF_INET if len(address) == 4 else socket.AF_INET6, socket.SOCK_STREAM)
            self._watch(one)
            try:
                one.settimeout(self._left_s())
                one.connect((socket.inet_ntop(one.family, address), port))
            except OSError as error:
                failure = error
                one.close()
            else:
                one.settimeout(self._limits.idle_s)
                return one
        raise failure

    def _watch(self, one: socket.socket) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = one
        self._left_s()

    def _request(self, parts: SplitResult, addresses: list[Address], known: Validators) -> http.client.HTTPResponse:
        is_tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
        one = self._connect(addresses, port)
        if is_tls:  # the wrapper takes the descriptor over
            wrapped = ssl.create_default_context().wrap_socket(one, server_hostname=host, do_handshake_on_connect=False)
            self._watch(wrapped)
            wrapped.do_handshake()
            one = wrapped
        default = 443 if is_tls else 80
        connection = http.client.HTTPConnection(host, port)
        connection.sock = one
        name = f"[{host}]" if ":" in host else host
        headers = {
            "Host": name if port == default else f"{name}:{port}",
            "User-Agent": f"nodewarden/{__version__}",
            "Accept": "text/plain, application/json, */*;q=0.5",
            "Accept-Encoding": "gzip",
            "Connection": "close",
        }
        if known.etag:
            headers["If-None-Match"] = known.etag
        if known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self._response is not None:  # of the redirect that led here
            self._response.close()
        connection.request("GET", path, headers=headers)
        self._response = connection.getresponse()
        return self._response

    def _answer(self, response: http.client.HTTPResponse, known: Validators) -> Fetched:
        if response.status == http.client.NOT_MODIFIED and any(known):
            return Fetched(is_modified=False, validators=known, chunks=iter(()), is_complete=True)
        if response.status != http.client.OK:
            raise ListFault(
                ListCause.STATUS, f"the server answered {response.status} {printable(response.reason)[:100]}".rstrip()
            )
        kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            raise ListFault(ListCause.CONTENT, "it is HTML, not a list: a login or error page?")
        coding = (response.getheader("Content-Encoding") or "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip"):
            raise ListFault(ListCause.CONTENT, f"its encoding {printable(coding)[:50]} is unknown")
        is_complete = response.length is not None or bool(response.chunked)
        return Fetched(
            is_modified=True,
            validators=Validators(_header(response, "ETag"), _header(response, "Last-Modified")),
            chunks=self._chunks(response),
            is_complete=is_complete,
        )

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        size, limit = 0, self._limits.wire_bytes
        if (response.length or 0) > limit:
            raise _too_large(limit)
        while chunk := response.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            self._left_s()
            yield chunk
        if self._is_over:
            raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)


def _header(response: http.client.HTTPResponse, name: str) -> str:
    """Return a validator; empty if it is none that could be sent back."""
    value = response.getheader(name) or ""
    return value if len(value) <= _VALIDATOR_CHARS and value.isprintable() and value.isascii() else ""


def _too_large(limit: int) -> ListFault:
    return ListFault(ListCause.TOO_LARGE, f"it has more than {limit >> 20} MiB")


def _explain_tls(error: ssl.SSLError) -> str:
    reason = str(error.reason or error)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return "the server does not speak TLS on this port: is it the right one?"
    return f"no TLS connection: {reason.replace('_', ' ').lower()}"
