"""A small HTTP server that strangers cannot exhaust. It runs in one thread and answers GET requests.

Everything is bounded: connections, the length of a request, the time for each stage, and the share of time for making
answers. There is no keep-alive: a client that is answered has no reason to stay. A new connection pushes out an idle
one (`http_connection.victim`), so a scrape gets through however many idle connections others open. Requests that
arrive while the last answer is still recent wait a moment, and are then answered together.

File descriptors from `reserved_from` on belong to the daemon's sources: a connection that gets one is dropped, or takes
the descriptor of an older connection. If there is no descriptor at all, a spare one is used to accept and drop, because
a connection that is never accepted would wake the server again and again.
"""

import contextlib
import errno
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from monitor.metrics.http_budget import TimeBudget
from monitor.metrics.http_connection import Connection, Drop, HttpLimits, Stage, victim
from monitor.metrics.http_message import HttpAnswer, HttpRequest, read_head, refusal

if TYPE_CHECKING:
    from monitor.metrics.web_gate import WebGate  # needs OpenSSL, which the server does only where TLS is asked for

_ACCEPTS_AT_ONCE = 32
_RECEIVE_BYTES = 4096
_SEND_BYTES = 1 << 18
_RETRY_ACCEPT_S = 0.1
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_UNAUTHORIZED = refusal(401, "a name and a password are required", ("WWW-Authenticate", "Basic"))
Respond = Callable[[Sequence[HttpRequest]], Sequence[HttpAnswer]]
"""Makes an answer for each of the requests, which came within a moment."""


class HttpServer:
    """Serves the connections of one listening socket. All methods but `close` are for the thread that serves."""

    def __init__(
        self,
        listener: socket.socket,
        respond: Respond,
        dropped: dict[str, int],
        failed: Callable[[Exception], None],
        limits: HttpLimits = HttpLimits(),  # noqa: B008 - immutable
        *,
        gate: "WebGate | None" = None,
        monitored: Callable[[str], None] = lambda _: None,
        reserved_from: int = sys.maxsize,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a listening socket.

        `dropped` counts connections closed without an answer, by cause; `failed` is called, from the server's thread,
        with faults; `gate` decides who is answered (default: everybody, without TLS); `monitored` is called with the
        address of each client that took an answer of those for monitors; descriptors from the number `reserved_from`
        on are left to others.
        """
        self._listener = listener
        self._respond = respond
        self._gate = gate
        self._monitored = monitored
        self._limits = limits
        self._reserved_from = reserved_from
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._waiting: list[tuple[Connection, HttpRequest]] = []
        self._respond_at_s = self._accept_at_s = 0.0
        self._budget = TimeBudget(limits.share, limits.burst_s, clock())
        self._is_accepting = self._is_closing = False
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._dropped = dropped
        self._failed = failed
        listener.setblocking(False)  # noqa: FBT003 - the library's signature

    def close(self) -> None:
        """End `serve`; may be called from another thread."""
        self._is_closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes it

    def serve(self) -> None:
        """Serve until `close`."""
        while not self._is_closing:
            try:
                self._step()
            except OSError as error:  # the kernel has no memory even for waiting
                self._failed(error)
                time.sleep(_RETRY_ACCEPT_S)
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        self._close_spare()

    def _step(self) -> None:
        """Wait for something to do, and do it: requests before new connections, so that these push out idle ones."""
        self._set_accepting()
        is_waiting_for_us = False
        for key, _ in self._selector.select(self._idle_s()):
            if key.data is None:
                is_waiting_for_us = True
            elif key.data in self._connections:
                self._continue(key.data)
        if self._waiting and self._clock() >= self._respond_at_s:
            self._answer_waiting()
        if is_waiting_for_us:
            self._accept()
        now_s = self._clock()
        for connection in [one for one in self._connections if now_s >= one.deadline_s]:
            self._drop(connection, Drop.TIMEOUT)

    def _idle_s(self) -> float | None:
        """Return how long there is nothing to do but for what the selector reports; None: until then."""
        due_s = [one.deadline_s for one in self._connections]
        if self._waiting:
            due_s.append(self._respond_at_s)
        if not self._is_accepting:
            due_s.append(self._accept_at_s)
        return max(0.0, min(due_s) - self._clock()) if due_s else None

    def _set_accepting(self) -> None:
        """Leave new connections to the kernel's queue while all places are taken by requests, or after a shortage."""
        is_full = len(self._connections) >= self._limits.connections and victim(self._connections) is None
        if is_full:
            self._accept_at_s = self._respond_at_s
        wanted = not is_full and self._clock() >= self._accept_at_s
        if wanted and not self._is_accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._is_accepting and not wanted:
            self._selector.unregister(self._listener)
        self._is_accepting = wanted

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            if len(self._connections) >= self._limits.connections and victim(self._connections) is None:
                return
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _SHORTAGES:
                    self._shed()
                return
            self._admit(accepted, peer[0])

    def _admit(self, accepted: socket.socket, address: str) -> None:
        """Start to read from a new connection; an older one gives way if there are too many."""
        is_short = accepted.fileno() >= self._reserved_from
        if is_short or len(self._connections) >= self._limits.connections:
            given_up = victim(self._connections)
            if given_up is None:
                self._dropped[Drop.DESCRIPTORS] += 1
                accepted.close()
                return
            self._drop(given_up, Drop.DESCRIPTORS if is_short else Drop.CROWDED)
        now_s = self._clock()
        accepted.setblocking(False)  # noqa: FBT003
        if self._gate:
            try:
                accepted = self._gate.wrap(accepted)
            except OSError:  # the client has gone
                accepted.close()
                return
        connection = Connection(accepted, address, now_s, now_s + self._limits.read_s)
        self._connections.add(connection)
        self._continue(connection)  # a request that is there already cannot be pushed out any more

    def _shed(self) -> None:
        """Close the connection that waits for a descriptor, by means of the spare one, and an idle one; then pause."""
        if idle := victim(self._connections):
            self._drop(idle, Drop.DESCRIPTORS)
        else:
            self._close_spare()
            with contextlib.suppress(OSError):
                accepted, _ = self._listener.accept()
                self._dropped[Drop.DESCRIPTORS] += 1
                accepted.close()
            with contextlib.suppress(OSError):  # another thread was faster; the next shortage is waited out
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._accept_at_s = self._clock() + _RETRY_ACCEPT_S

    def _close_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _continue(self, connection: Connection) -> None:
        """Do what a connection is ready for."""
        try:
            if connection.stage is Stage.READING:
                self._read(connection)
            elif connection.stage is Stage.SENDING:
                self._send(connection)
            elif not connection.socket.recv(_RECEIVE_BYTES):
                self._drop(connection)
        except (BlockingIOError, InterruptedError):
            self._watch(connection)
        except (OSError, ValueError) as error:  # the client's reset, or no memory for another descriptor to wait for
            if self._gate and (event := self._gate.awaited(error)):
                self._watch(connection, event)
            else:
                self._drop(connection)

    def _read(self, connection: Connection) -> None:
        received = connection.socket.recv(_RECEIVE_BYTES)
        if not received:
            self._drop(connection)
            return
        connection.received += received
        match read_head(connection.received):
            case HttpAnswer() as refused:
                self._start_sending(connection, refused.encode())
            case HttpRequest() as request:
                connection.stage = Stage.WAITING
                connection.received = b""
                connection.deadline_s = float("inf")
                self._unwatch(connection)
                self._waiting.append((connection, request))
            case None if self._gate and self._gate.holds_more(connection.socket):
                self._read(connection)  # at most twice: the length of a head is bounded
            case None:
                self._watch(connection)

    def _answer_waiting(self) -> None:
        """Make the answers of all complete requests at once, and rest for as long as their share of time demands."""
        started_s = self._clock()
        waiting = self._admitted()
        try:
            answers = self._respond([request for _, request in waiting])
        except Exception as error:  # noqa: BLE001 - for the supervisor: the server outlives a fault in what it serves
            self._failed(error)
            answers = [refusal(503, "the samples could not be collected; see the log of nodewarden")] * len(waiting)
        self._respond_at_s = self._budget.pay(started_s, self._clock())
        encoded: dict[int, bytes] = {}  # equal answers are one object, and so are their bytes
        for (connection, _), answer in zip(waiting, answers, strict=True):
            data = encoded.setdefault(id(answer), b"") or answer.encode()
            encoded[id(answer)] = data
            connection.is_monitoring = answer.is_monitoring
            self._start_sending(connection, data)

    def _admitted(self) -> list[tuple[Connection, HttpRequest]]:
        """Return the requests to answer now, and refuse those without a right password."""
        waiting, self._waiting = self._waiting, []
        if self._gate is None:
            return waiting
        screened = self._gate.screen(waiting)
        self._waiting = screened.later
        for connection, _ in screened.refused:
            self._start_sending(connection, _UNAUTHORIZED.encode())
        return screened.admitted

    def _start_sending(self, connection: Connection, data: bytes) -> None:
        connection.stage = Stage.SENDING
        connection.unsent = memoryview(data)
        connection.deadline_s = self._clock() + self._limits.send_s
        self._unwatch(connection)
        self._continue(connection)

    def _send(self, connection: Connection) -> None:
        while connection.unsent:
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent[:_SEND_BYTES]) :]
        if self._gate:
            self._gate.finish(connection.socket)
        connection.socket.shutdown(socket.SHUT_WR)
        connection.stage = Stage.CLOSING
        if connection.is_monitoring:
            self._monitored(connection.peer)
        connection.deadline_s = self._clock() + self._limits.linger_s
        self._unwatch(connection)
        self._watch(connection)

    def _watch(self, connection: Connection, event: int | None = None) -> None:
        """Wait until a connection can go on; `event` where TLS waits for something else than its stage does."""
        if event is None:
            event = selectors.EVENT_WRITE if connection.stage is Stage.SENDING else selectors.EVENT_READ
        if connection.event == event:
            return
        self._unwatch(connection)
        self._selector.register(connection.socket, event, connection)
        connection.event = event

    def _unwatch(self, connection: Connection) -> None:
        if connection.event:
            self._selector.unregister(connection.socket)
            connection.event = 0

    def _drop(self, connection: Connection, cause: Drop | None = None) -> None:
        """Close a connection; `cause` counts if it was not answered."""
        if cause and connection.stage is not Stage.CLOSING:
            self._dropped[cause] += 1
        self._unwatch(connection)
        self._connections.discard(connection)
        connection.unsent = memoryview(b"")
        connection.socket.close()
