"""Real clients and servers: sockets that belong to a host of the lab and have an address of the behaviour."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from tests.support.lab import Host

_GET = b"GET / HTTP/1.1\r\nHost: zoo.example\r\n\r\n"
_IP_FREEBIND = 15  # linux/in.h; the socket module does not have it
_WAIT_S = 3.0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _socket(host: Host, source: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
    with host.entered():
        made = socket.socket(_family(source), kind)
    try:
        made.settimeout(_WAIT_S)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
        made.bind((source, port))
    except OSError:
        made.close()
        raise
    return made


def connect(host: Host, source: str, address: str, port: int, *, from_port: int = 0) -> socket.socket:
    """Open a connection; OSError if it is refused or not answered within three seconds."""
    made = _socket(host, source, socket.SOCK_STREAM, from_port)
    try:
        made.connect((address, port))
    except OSError:
        made.close()
        raise
    return made


def exchange(link: socket.socket, payload: bytes = _GET) -> bytes:
    """Send something and return the answer."""
    link.sendall(payload)
    return link.recv(65536)


def request(host: Host, source: str, address: str, port: int, payload: bytes = _GET) -> bytes:
    """Open a connection, exchange, close in order; return the answer."""
    with connect(host, source, address, port) as link:
        return exchange(link, payload)


def is_reachable(host: Host, source: str, address: str, port: int) -> bool:
    """Whether a connection is accepted."""
    try:
        connect(host, source, address, port).close()
    except OSError:
        return False
    return True


def reset(link: socket.socket) -> None:
    """Close with RST, as health checks do to save the closing handshake."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def start_connecting(host: Host, source: str, address: str, port: int) -> socket.socket:
    """Send the first packet of a connection, and do not wait."""
    made = _socket(host, source, socket.SOCK_STREAM)
    made.setblocking(False)
    made.connect_ex((address, port))
    return made


def attempt_all(host: Host, sources: Sequence[str], targets: Iterable[tuple[str, int]], *, wait_s: float = 2.5) -> int:
    """Try to connect to all targets at the same time, from the sources in turn; return how many accepted."""
    accepted = 0
    pending = [
        start_connecting(host, sources[number % len(sources)], address, port)
        for number, (address, port) in enumerate(targets)
    ]
    time.sleep(wait_s)
    for made in pending:
        with made, contextlib.suppress(OSError):
            accepted += made.getpeername() is not None
    return accepted


def datagram_socket(host: Host, source: str, port: int = 0) -> socket.socket:
    """Return a UDP socket; it waits for three seconds."""
    return _socket(host, source, socket.SOCK_DGRAM, port)


def ask(host: Host, source: str, address: str, port: int, payload: bytes = b"?", *, from_port: int = 0) -> bytes:
    """Send a datagram and return the answer."""
    with datagram_socket(host, source, from_port) as made:
        made.connect((address, port))
        made.send(payload)
        return made.recv(65536)


def say(host: Host, source: str, address: str, ports: Iterable[int], payload: bytes = b"!", *, from_port: int) -> None:
    """Send a datagram to each port, without waiting for answers."""
    with datagram_socket(host, source, from_port) as made:
        for port in ports:
            with contextlib.suppress(OSError):  # an ICMP error for an earlier one
                made.sendto(payload, (address, port))


@contextmanager
def listening(host: Host, address: str, ports: Iterable[int], *, backlog: int = 64) -> Iterator[list[socket.socket]]:
    """Listen on ports, and accept nothing: the kernel completes handshakes."""
    with ExitStack() as stack, host.entered():
        made = []
        for port in ports:
            server = stack.enter_context(socket.socket(_family(address)))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen(backlog)
            made.append(server)
        yield made


@contextmanager
def answering(host: Host, address: str, ports: Iterable[int], *, backlog: int = 64) -> Iterator[None]:
    """Listen on ports, accept, answer once and close."""
    with listening(host, address, ports, backlog=backlog) as servers, accepting(*servers):
        yield


@contextmanager
def accepting(*servers: socket.socket) -> Iterator[None]:
    """Accept on listening sockets, answer once and close; the sockets are shut down at the end."""
    threads = [threading.Thread(target=_answer, args=(server,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def _answer(server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was shut down
        while True:
            link = server.accept()[0]
            with link, contextlib.suppress(OSError):
                link.settimeout(1)
                link.recv(65536)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nzoo")


def together(count: int, host: Host, source: str, address: str, port: int) -> int:
    """Hold connections open at the same time, each with one request; return how many were answered."""
    answered = 0
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        links = [
            stack.enter_context(link) for link in pool.map(lambda _: connect(host, source, address, port), range(count))
        ]
        for link in links:
            answered += bool(exchange(link))
    return answered


def expect(count: int, wanted: int, what: str) -> None:
    """Raise RuntimeError unless at least so much of the behaviour took place."""
    if count < wanted:
        raise RuntimeError(f"{what}: {count}, expected at least {wanted}")
