"""POSTs to an HTTP server, within one limit of time, and says what its answer means for a message.

Redirects are not followed: they would take the message, and the headers with it, to a place that nobody configured.
Proxies of the environment are ignored. Nothing of the URL but its host, and no header, is ever part of an error: the
path of a hook is its password.
"""

import email.utils
import http.client
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from monitor import __version__
from monitor.model.printable import printable
from monitor.notify.channel import Again, Refused
from monitor.notify.channels.connection import Current, Delivery
from monitor.notify.secrets import read_secret, secret_path
from monitor.notify.sections.web import TlsSettings, WebSettings, read_url

LONGEST_PAUSE_S = 6 * 3600.0
"""The longest that a server may have us wait."""
_MAX_ANSWER_BYTES = 64 << 10
_MAX_SAID = 150
_SHORTEST_SECRET = 6
_TEMPORARY = (408, 421, 425, 429)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


class Answer(NamedTuple):
    """What a server said: its status and the start of the body."""

    status: int
    body: bytes
    retry_after_s: float | None


class Request(NamedTuple):
    """What is sent, and where to."""

    url: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    accept: str = "*/*"


class Http:
    """Sends requests as the settings say; used by the thread of one channel."""

    def __init__(self, settings: TlsSettings, proxy: str = "") -> None:
        self._settings = settings
        self._proxy = urlsplit(proxy) if proxy else None
        self._current = Current()

    def close(self) -> None:
        """End the exchange, from another thread, and start no other."""
        self._current.close()

    def post(self, request: Request) -> None:
        """Have a server take a request; Refused or Again if it does not."""
        answer = self.exchange(request)
        if not 200 <= answer.status < 300:
            raise fault_of(answer, request)

    def exchange(self, request: Request) -> Answer:
        """Send a request and return the answer; Again if there is none."""
        settings = self._settings
        parts = urlsplit(request.url)
        context = client_context(settings) if parts.scheme == "https" else None
        proxy = self._proxy
        with self._current.delivery(settings.timeout_s, where_of(parts)) as delivery:
            one = _connect(delivery, parts, context, proxy)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
            connection.sock = one
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            target = f"http://{_host(parts)}{path}" if proxy is not None and context is None else path
            headers = {
                "Host": _host(parts),
                "User-Agent": f"nodewarden/{__version__}",
                "Accept": request.accept,
                "Content-Type": request.content_type,
                "Connection": "close",
                **request.headers,
            }
            try:
                connection.request("POST", target, request.body, headers)
                with connection.getresponse() as response:
                    return _read(response, delivery)
            except http.client.HTTPException as error:
                if delivery.has_ended:
                    raise Again(delivery.describe(error)) from None
                raise Again(
                    f"{where_of(parts)}: the answer is no HTTP, or ended early ({type(error).__name__})"
                ) from None
            except ValueError as error:  # a header or a path that cannot be sent; OSError has other classes
                raise Refused(f"{where_of(parts)}: the request cannot be sent ({type(error).__name__})") from None
            finally:
                connection.close()


def url_of(settings: WebSettings) -> str:
    """Return the URL of the settings, from its file if it is in one; Again if that cannot be read."""
    if settings.url:
        return settings.url
    try:
        return read_url(read_secret(settings.url_file).strip(), may_have_secret=True)
    except ValueError:
        raise Again(f"{settings.url_file} contains no URL (https or http)") from None


def headers_of(settings: WebSettings) -> dict[str, str]:
    """Return the headers of the settings, and of their file; Again if that cannot be read or has none."""
    lines = list(settings.headers)
    if settings.headers_file:
        lines += [line for line in read_secret(settings.headers_file).splitlines() if line.strip()]
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not _NAME.fullmatch(name.strip()) or not (value.isascii() and value.isprintable()):
            raise Again("a header of headers or headers_file is none: expected NAME: VALUE")
        found[name.strip()] = value
    return found


def where_of(parts: SplitResult) -> str:
    """Name a server in errors: no path, which may be a secret."""
    return printable(_host(parts))[:200]


def fault_of(answer: Answer, request: Request) -> Refused | Again:
    """Return what an answer that is no success means."""
    where = where_of(urlsplit(request.url))
    if 300 <= answer.status < 400:
        return Refused(f"{where} answers {answer.status}, a redirect, which is not followed: configure where it leads")
    text = f"{where} answers {answer.status}{_said(answer, request)}"
    if answer.status in _TEMPORARY or answer.status >= 500:
        return Again(text, answer.retry_after_s)
    return Refused(text)


def _said(answer: Answer, request: Request) -> str:
    """Return what the server says about it, without what it may repeat of our secrets."""
    parts = urlsplit(request.url)
    text = printable(" ".join(answer.body[:4096].decode("utf-8", "replace").split()))
    pieces = [*parts.path.split("/"), *re.split("[&=]", parts.query)]
    pieces += [word for value in request.headers.values() for word in (value, *value.split())]
    for secret in sorted(pieces, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "…")
    return f": {text[:_MAX_SAID]}" if text else ""


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return TLS settings of a client; certificates are always verified. Again names the file that cannot be used."""
    name = settings.ca_file
    try:
        context = ssl.create_default_context(cafile=name or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            name = settings.cert_file
            key = str(secret_path(settings.key_file)) if settings.key_file else None
            context.load_cert_chain(secret_path(name), key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it is no certificate or key"
        raise Again(f"{name} cannot be used: {str(reason).replace('_', ' ').lower()}") from None
    return context


def _no_password() -> str:
    """Refuse keys that are encrypted: OpenSSL would ask a terminal."""
    raise ValueError("the key is encrypted")


def _connect(
    delivery: Delivery, parts: SplitResult, context: ssl.SSLContext | None, proxy: SplitResult | None
) -> socket.socket:
    """Return a connection to the server, through the proxy if there is one."""
    host, port = parts.hostname or "", parts.port or (443 if context else 80)
    if proxy is None:
        one = delivery.connect(host, port)
    else:
        one = delivery.connect(proxy.hostname or "", proxy.port or 3128)
        if context is not None:
            _tunnel(one, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return delivery.wrap(one, context, host) if context is not None else one


def _tunnel(one: socket.socket, target: str) -> None:
    """Have a proxy open a connection (RFC 9110, section 9.3.6)."""
    one.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii"))
    head = b""
    while b"\r\n\r\n" not in head:
        part = one.recv(1)  # what follows the head is TLS, and not ours to read
        if not part or len(head) > 16384:
            raise Again("the proxy does not answer as one")
        head += part
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise Again(f"the proxy answers {printable(b''.join(status).decode('ascii', 'replace'))[:20]}")


def _read(response: http.client.HTTPResponse, delivery: Delivery) -> Answer:
    """Read an answer. Of a success the status counts, whatever becomes of the rest."""
    body = b""
    try:
        while len(body) < _MAX_ANSWER_BYTES and (part := response.read1(_MAX_ANSWER_BYTES - len(body))):
            body += part
            delivery.left_s()
    except (OSError, http.client.HTTPException, ValueError):
        if not 200 <= response.status < 300 and not body:
            raise
    return Answer(response.status, body, retry_after_s(response.getheader("Retry-After"), time.time()))


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Read a header Retry-After: seconds or a date (RFC 9110, section 10.2.3); None if it is neither."""
    if value is None or len(value) > 64:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip(), re.ASCII):
        return min(float(value), LONGEST_PAUSE_S)
    try:
        until_s = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(until_s - now_s, 0.0), LONGEST_PAUSE_S)


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return name if parts.port in (None, default) else f"{name}:{parts.port}"
