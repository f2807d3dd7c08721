"""The HTTP server of /metrics, among strangers."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.http_connection import Drop, HttpLimits, group_of
from monitor.metrics.http_message import MAX_HEAD_BYTES, HttpAnswer, HttpRequest, read_head
from monitor.metrics.http_server import HttpServer, Respond

_GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
_WAIT_S = 10.0


def hello(requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
    """Answer all with the same text."""
    return [HttpAnswer(200, body=b"hello")] * len(requests)


@contextlib.contextmanager
def served(respond: Respond = hello, **limits: float) -> Iterator[tuple[list[Exception], dict[str, int], int]]:
    """Serve on a free port until the block ends."""
    with served_from(2**31, respond, **limits) as running:
        yield running


@contextlib.contextmanager
def served_from(
    reserved_from: int, respond: Respond, **limits: float
) -> Iterator[tuple[list[Exception], dict[str, int], int]]:
    """Serve with file descriptors below a number only."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    dropped: dict[str, int] = dict.fromkeys(Drop, 0)
    faults: list[Exception] = []
    server = HttpServer(listener, respond, dropped, faults.append, HttpLimits(**limits), reserved_from=reserved_from)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield faults, dropped, port
    finally:
        server.close()
        thread.join(_WAIT_S)
        assert not thread.is_alive()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection from an address of loopback."""
    return socket.create_connection(("127.0.0.1", port), _WAIT_S, (source, 0))


def ask(port: int, request: bytes = _GET) -> bytes:
    """Send a request and return everything that comes back until the server closes."""
    with connect(port) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def is_closed(client: socket.socket) -> bool:
    """Wait until the server has closed a connection without an answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_hundreds_of_idle_connections_keep_nobody_out() -> None:
    """The server holds a bounded number of them; a scrape is answered at once, and the oldest idle ones are closed."""
    with served(read_s=60, connections=20) as (_, dropped, port), contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(600)]
        assert ask(port).endswith(b"hello")
        assert is_closed(idle[0])
        assert dropped[Drop.CROWDED] >= 600 - 20
        assert dropped[Drop.TIMEOUT] == 0


def test_a_source_with_many_connections_pushes_out_only_its_own() -> None:
    """A slow client of another address stays, whatever one source opens; then it is answered."""
    with served(read_s=60, connections=20) as (_, _, port), contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(port, "127.0.0.2"))
        slow.sendall(_GET[:-2])
        for _ in range(300):
            stack.enter_context(connect(port))
        assert ask(port).endswith(b"hello")
        slow.sendall(_GET[-2:])
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "sent", [b"", b"GET ", _GET[:-1], b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100], ids=["idle", "word", "almost", "long"]
)
def test_who_never_finishes_a_request_is_dropped(sent: bytes) -> None:
    """The time counts from the start, so that a byte now and then does not lengthen it."""
    with served(read_s=0.2) as (_, dropped, port), connect(port) as client:
        client.sendall(sent)
        assert is_closed(client)
        assert dropped[Drop.TIMEOUT] == 1


def test_who_does_not_take_the_answer_is_dropped() -> None:
    """An answer larger than the socket's buffers waits a bounded time for its reader."""

    def large(requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        return [HttpAnswer(200, body=b"x" * 20_000_000)] * len(requests)

    with served(large, send_s=0.3) as (_, dropped, port), connect(port) as client:
        client.sendall(_GET)
        while not dropped[Drop.TIMEOUT]:
            time.sleep(0.01)
        assert ask(port).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nAccept: a\nSet-Cookie: b\r\n\r\n", 400),
        (b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"x" * (10 * MAX_HEAD_BYTES), 431),
        (_GET, 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (_GET + b"GET /again HTTP/1.1\r\n\r\n" + b"x" * 100_000, 200),
    ],
)
def test_every_request_gets_one_answer(request_: bytes, status: int) -> None:
    """Malformed, oversized and pipelined requests too; what follows a request is read and ignored."""
    with served() as (_, _, port):
        answer = ask(port, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert answer.count(b"HTTP/1.1") == 1


def test_a_half_closed_client_is_answered() -> None:
    """A client may close its side after the request; one that closes before its end gets nothing."""
    with served() as (_, _, port), connect(port) as whole, connect(port) as part:
        whole.sendall(_GET)
        whole.shutdown(socket.SHUT_WR)
        assert whole.recv(4096).endswith(b"hello")
        part.sendall(_GET[:9])
        part.shutdown(socket.SHUT_WR)
        assert is_closed(part)


def test_a_fault_in_an_answer_is_told_and_survived() -> None:
    """The client gets 503, the fault is counted, and the next request is answered."""
    errors = iter([TimeoutError("the loop is stuck")])

    def respond(requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        for error in errors:
            raise error
        return hello(requests)

    with served(respond) as (faults, _, port):
        assert ask(port).startswith(b"HTTP/1.1 503")
        assert [type(fault) for fault in faults] == [TimeoutError]
        assert ask(port).endswith(b"hello")


def test_many_requests_are_answered_together() -> None:
    """Requests that come while an answer is recent wait for the next one, so that scrapes cannot take all the time."""
    batches: list[int] = []

    def respond(requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        batches.append(len(requests))
        time.sleep(0.02)
        return hello(requests)

    with served(respond, burst_s=0.0) as (_, _, port), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(40)]
        for client in clients:
            client.sendall(_GET)
        assert all(client.recv(4096).endswith(b"hello") for client in clients)
        assert sum(batches) == len(clients)
        assert len(batches) < len(clients) / 2


def test_reserved_descriptors_are_left_to_others() -> None:
    """Above the number a new connection takes the place of an older one, or is closed; others can still open files."""
    with served_from(0, hello) as (_, dropped, port), connect(port) as client:
        assert is_closed(client)
        assert dropped[Drop.DESCRIPTORS] == 1


def test_without_any_descriptor_it_neither_ends_nor_spins() -> None:
    """Connections are closed by means of a spare descriptor until there are some again; then they are answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served() as (_, dropped, port), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(3)]
        highest = max(client.fileno() for client in clients)
        hold = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    hold.append(socket.socket())
            for client in clients:
                client.settimeout(_WAIT_S)
                client.connect(("127.0.0.1", port))
                assert is_closed(client)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in hold:
                one.close()
        assert dropped[Drop.DESCRIPTORS] == len(clients)
        assert ask(port).endswith(b"hello")


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: _GET[:-4] + tail + b"\r\n\r\n"))
def test_any_bytes_are_a_request_a_refusal_or_not_enough(received: bytes) -> None:
    """Nothing that a client sends raises; a refusal can be written."""
    read = read_head(received)
    assert read is None or isinstance(read, HttpRequest) or read.encode().startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_one_ipv6_host_is_a_64(address: str, group: str) -> None:
    """The fair share is that of a host, which has a whole /64."""
    assert group_of(address) == group
