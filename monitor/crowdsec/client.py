"""Speaks HTTP with LAPI. It blocks, so one thread of its own uses it; only `abort` is called by others.

Each exchange has a connection of its own, a limit of time and a limit of bytes. LAPI takes the name of the program
from the header User-Agent, and logs nobody in without one.
"""

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from monitor import __version__
from monitor.crowdsec.claims import own_scenarios
from monitor.crowdsec.errors import Cause, LapiError
from monitor.crowdsec.secrets import make_context, read_secret
from monitor.crowdsec.settings import CrowdsecSettings
from monitor.model.errors import explain

CONNECT_S = 5.0
READ_S = 30.0
"""LAPI thinks for some seconds about 100,000 decisions before it begins to answer."""
EXCHANGE_S = 90.0
"""The most that an exchange takes."""
_CHUNK_BYTES = 64 * 1024
_MAX_STREAM_BYTES = 256 * 1024 * 1024
_MAX_BYTES = 1024 * 1024
_RENEW_S = 300.0
_USER_AGENT = f"nodewarden/v{__version__}"


class Lapi:
    """One LAPI."""

    def __init__(self, settings: CrowdsecSettings) -> None:
        """Take where it is and who we are; nothing is opened or read yet."""
        parts = urlsplit(settings.url)
        self._settings = settings
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._path = parts.path.rstrip("/")
        self._token = ""
        self._token_until_s = float("-inf")
        self._socket: socket.socket | None = None
        self.is_closed = False
        """Whether it was aborted."""
        self.peer = ""
        """The address of LAPI, once there was a connection."""
        self._deadline_s = 0.0

    def decisions(self, *, whole: bool) -> Generator[bytes]:
        """Yield the answer with all decisions, or with those that changed since the last answer, in pieces.

        LapiError if it fails, also in the middle.
        """
        settings = self._settings
        query = {"dedup": "false", "scopes": "ip,range", "origins": ",".join(settings.origins)}
        if whole:
            query["startup"] = "true"
        if settings.machine:
            query["scenarios_not_containing"] = own_scenarios(settings.machine)
        headers = {"X-Api-Key": read_secret(settings.bouncer_key_file)}
        with self._exchange("GET", f"/v1/decisions/stream?{urlencode(query)}", headers) as answer:
            self._expect(answer, 200, f"the key in {settings.bouncer_key_file}")
            yield from self._body(answer, _MAX_STREAM_BYTES)

    def push(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Have LAPI take alerts; LapiError if it does not."""
        self._as_machine("POST", "/v1/alerts", 201, alerts)

    def delete(self, value: str, scenario: str) -> None:
        """Delete the decisions on a network that have this scenario; LapiError if LAPI does not."""
        query = urlencode({"value": value, "scenario": scenario}, quote_via=quote)
        self._as_machine("DELETE", f"/v1/decisions?{query}", 200)

    def heartbeat(self) -> None:
        """Have `cscli machines list` show that this node is there."""
        self._as_machine("GET", "/v1/heartbeat", 200)

    def abort(self) -> None:
        """End the exchange that is going on, from another thread, and begin no other."""
        self.is_closed = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the exchange that is going on, from another thread."""
        if one := self._socket:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _as_machine(self, method: str, path: str, status: int, content: Any = None) -> None:
        """Do something as a machine; a token that LAPI no longer accepts is renewed once."""
        for is_last in (False, True):
            headers = {"Authorization": f"Bearer {self._login()}"}
            with self._exchange(method, path, headers, content) as answer:
                if answer.status == 401 and not is_last:
                    self._token_until_s = float("-inf")
                    continue
                self._expect(answer, status, f"machine {self._settings.machine}")
                for _ in self._body(answer, _MAX_BYTES):
                    pass
                return

    def _login(self) -> str:
        """Return a token that is good for some minutes yet. LAPI's last an hour."""
        if time.monotonic() < self._token_until_s:
            return self._token
        settings = self._settings
        who = {"machine_id": settings.machine, "password": read_secret(settings.password_file), "scenarios": []}
        with self._exchange("POST", "/v1/watchers/login", {}, who) as answer:
            self._expect(answer, 200, f"machine {settings.machine} with the password in {settings.password_file}")
            content = b"".join(self._body(answer, _MAX_BYTES))
        try:
            token = msgspec.json.decode(content, type=dict[str, Any]).get("token")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise LapiError(Cause.ANSWER, "the answer to the login has no token; is this a LAPI?")
        self._token, self._token_until_s = token, time.monotonic() + 3600.0 - _RENEW_S
        return token

    @contextlib.contextmanager
    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], content: Any = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; what goes wrong while its answer is read becomes a LapiError."""
        body = None if content is None else json.dumps(content)
        more = {} if body is None else {"Content-Type": "application/json"}
        connection = self._connect()
        try:
            self._deadline_s = time.monotonic() + EXCHANGE_S
            connection.request(method, self._path + path, body, {"User-Agent": _USER_AGENT, **more, **headers})
            with connection.getresponse() as answer:  # it may have taken the socket over from the connection
                yield answer
        except TimeoutError as error:
            raise LapiError(Cause.TIMEOUT, f"no answer within {READ_S:.0f} s") from error
        except (http.client.HTTPException, ValueError) as error:
            raise LapiError(Cause.ANSWER, f"the answer is no HTTP, or ended early: {error!r}") from error
        except OSError as error:
            raise LapiError(Cause.ANSWER, f"the connection broke: {explain(error)}") from error
        finally:
            self._socket = None
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self.is_closed:
            raise LapiError(Cause.UNREACHABLE, "the daemon stops")
        connection: http.client.HTTPConnection
        if self._is_tls:
            context = make_context(self._settings.ca_file)
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_S, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)
        try:
            connection.connect()
            connection.sock.settimeout(READ_S)
            self.peer = connection.sock.getpeername()[0]
        except ssl.SSLError as error:
            connection.close()
            raise LapiError(Cause.TLS, getattr(error, "verify_message", "") or error.reason or str(error)) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that is none
            connection.close()
            raise LapiError(Cause.UNREACHABLE, f"no connection: {_words(error)}") from error
        self._socket = connection.sock
        return connection

    def _expect(self, answer: http.client.HTTPResponse, status: int, who: str) -> None:
        if answer.status == status:
            return
        said = _message(answer.read(4096))
        if answer.status in (401, 403):
            raise LapiError(Cause.REFUSED, f"LAPI does not accept {who}{said}")
        if 300 <= answer.status < 400:
            place = answer.getheader("Location") or "nowhere"
            raise LapiError(Cause.STATUS, f"it answers with a redirect to {place}: set crowdsec.url to the LAPI itself")
        if answer.status == 404:
            raise LapiError(Cause.STATUS, f"it knows no {self._path}/v1: is this a LAPI?")
        raise LapiError(Cause.STATUS, f"it answers with status {answer.status}{said}")

    def _body(self, answer: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
        size = 0
        while chunk := answer.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise LapiError(Cause.ANSWER, f"the answer has more than {limit >> 20} MiB")
            if time.monotonic() > self._deadline_s:
                raise LapiError(Cause.TIMEOUT, f"the answer takes longer than {EXCHANGE_S:.0f} s")
            yield chunk
        if answer.length:  # read1 does not complain about less than was announced
            raise LapiError(Cause.ANSWER, "the answer ended early")


def _words(error: Exception) -> str:
    return "no answer" if isinstance(error, TimeoutError) else explain(error)


def _message(content: bytes) -> str:
    """Return what LAPI says about its refusal, for the end of a sentence."""
    try:
        found = msgspec.json.decode(content, type=dict[str, Any]).get("message")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return f": {found}" if isinstance(found, str) and found else ""
