"""Connections with one limit of time for everything: the name, the handshake, what is sent and what is answered.

A limit for each read does not bound a server that sends a byte a second. So a watchdog shuts the socket down when the
time is over, which wakes the thread that reads or writes. The same is done when the channel is closed.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from monitor.model.errors import explain
from monitor.model.printable import printable
from monitor.notify.channel import Again

_LONGEST_ERROR = 200
_MAX_ADDRESSES = 8


class Delivery:
    """One attempt to deliver: its deadline, and the socket that is shut down when the deadline is over.

    Use it in a `with` block: errors of the network leave it as `Again`, with a text that holds no secret.
    """

    def __init__(self, limit_s: float, where: str) -> None:
        """`where` names the other end in errors."""
        self._limit_s = limit_s
        self._where = where
        self._ends_s = time.monotonic() + limit_s
        self._is_over = False
        self._is_aborted = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._watchdog = threading.Timer(limit_s, self._time_is_over)
        self._watchdog.daemon = True

    def __enter__(self) -> Self:
        """Start the watchdog."""
        start(self._watchdog)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket, and say what an error of the network amounts to."""
        self._watchdog.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
        if isinstance(error, OSError | UnicodeError):
            raise Again(self.describe(error)) from None

    @property
    def has_ended(self) -> bool:
        """Whether the time is over, or the channel closed: what fails then fails for this reason."""
        return self._is_aborted or self._is_over or time.monotonic() >= self._ends_s

    def describe(self, error: Exception) -> str:
        """Return what went wrong, for people."""
        if self._is_aborted:
            return "the notifier stops"
        if self.has_ended or isinstance(error, TimeoutError):
            return f"{self._where} took longer than {self._limit_s:g} s"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate of {self._where} is not valid: {_short(error.verify_message)}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS connection to {self._where}: {_short(explain_tls(error))}"
        return f"{self._where}: {_short(explain(error)) or type(error).__name__}"

    def left_s(self) -> float:
        """Return how much time is left; TimeoutError if none is."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0 or self._is_over:
            self._is_over = True
            raise TimeoutError
        if self._is_aborted:
            raise OSError("closed")
        return left_s

    def abort(self) -> None:
        """End it from another thread."""
        self._is_aborted = True
        self._shut_down()

    def watch(self, one: socket.socket) -> None:
        """Have this socket shut down when the time is over, in place of the one before."""
        with self._lock:
            self._socket = one
        one.settimeout(self.left_s())

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first address of a host that answers."""
        failure: OSError = OSError(f"{host} has no address")
        for family, address in self._resolve(host, port):
            one = socket.socket(family, socket.SOCK_STREAM)
            try:
                self.watch(one)
                one.connect(address)
            except OSError as error:
                failure = error
                one.close()
                self.left_s()
            else:
                return one
        raise failure

    def connect_unix(self, path: str, kind: socket.SocketKind) -> socket.socket:
        """Return a connection to a socket of unix(7)."""
        one = socket.socket(socket.AF_UNIX, kind)
        try:
            self.watch(one)
            one.connect(path)
        except BaseException:
            one.close()
            raise
        return one

    def connect_datagram(self, host: str, port: int) -> socket.socket:
        """Return a UDP socket whose other end is the first address of a host."""
        failure: OSError = OSError(f"{host} has no address")
        for family, address in self._resolve(host, port):
            one = socket.socket(family, socket.SOCK_DGRAM)
            try:
                self.watch(one)
                one.connect(address)
            except OSError as error:
                failure = error
                one.close()
            else:
                return one
        raise failure

    def wrap(self, one: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """Return the socket with TLS, the name of the certificate verified."""
        wrapped = context.wrap_socket(one, server_hostname=host, do_handshake_on_connect=False)
        self.watch(wrapped)  # the wrapper took the descriptor over
        wrapped.do_handshake()
        return wrapped

    def _resolve(self, host: str, port: int) -> list[tuple[int, tuple[str, int] | tuple[str, int, int, int]]]:
        """Return families and addresses. getaddrinfo(3) cannot be interrupted, so nothing waits for its thread."""
        found: list[tuple[int, tuple[str, int] | tuple[str, int, int, int]]] = []
        failure: Exception | None = TimeoutError()

        def look_up() -> None:
            nonlocal failure
            try:
                some = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found.extend((one[0], one[4]) for one in some[:_MAX_ADDRESSES])  # type: ignore[misc]
                failure = None
            except (OSError, UnicodeError) as error:
                failure = error

        thread = threading.Thread(target=look_up, daemon=True)
        start(thread)
        thread.join(self.left_s())
        if failure is not None:
            raise failure
        return found

    def _time_is_over(self) -> None:
        self._is_over = True
        self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):  # of an SSLSocket, too: no farewell is sent
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Current:
    """The delivery that a channel makes now, so that `close` in another thread can end it."""

    def __init__(self) -> None:
        self._delivery: Delivery | None = None
        self._closed = threading.Event()

    @contextlib.contextmanager
    def delivery(self, limit_s: float, where: str) -> Iterator[Delivery]:
        """Yield a delivery; Again if the channel is closed."""
        if self._closed.is_set():
            raise Again("the notifier stops")
        with Delivery(limit_s, where) as one:
            self._delivery = one
            if self._closed.is_set():
                one.abort()
            try:
                yield one
            finally:
                self._delivery = None

    def close(self) -> None:
        """End the delivery, and start no other."""
        self._closed.set()
        if one := self._delivery:
            one.abort()


def start(thread: threading.Thread) -> None:
    """Start a thread; Again if there can be none now, such as while look-ups of names hang and hold theirs."""
    try:
        thread.start()
    except RuntimeError:
        raise Again("no thread can be started: too many wait for the resolver, or TasksMax= is reached") from None


def explain_tls(error: ssl.SSLError) -> str:
    """Return what OpenSSL did not like, in words."""
    reason = str(error.reason or error)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return "the server does not speak TLS on this port: is it the right one?"
    return reason.replace("_", " ").lower()


def _short(text: str) -> str:
    return printable(text)[:_LONGEST_ERROR]
