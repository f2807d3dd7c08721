"""A server of block lists that answers byte by byte as it is told, over HTTP or TLS; on loopback, in threads."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Answer = bytes | Iterable[bytes] | Callable[[bytes], bytes | Iterable[bytes]]
"""What is sent: at once, in parts, or depending on the request's head."""


def ok(body: bytes, *headers: str) -> bytes:
    """Return an answer with a body and its length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def empty(status: str, *headers: str) -> bytes:
    """Return an answer without a body."""
    return "\r\n".join((f"HTTP/1.1 {status}", "Content-Length: 0", *headers)).encode() + b"\r\n\r\n"


class ListServer:
    """Answers each request with `answer`, which tests change; `requests` are the heads as they came."""

    def __init__(self, answer: Answer = b"", context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self._context = context
        self._is_over = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://{host}:{self.port}/drop.txt"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def pause(self, seconds: float) -> None:
        """Wait, in the thread of an answer; ends at once when the server does."""
        self._is_over.wait(seconds)

    def drip(self, part: bytes = b"x") -> Iterator[bytes]:
        """Yield a part again and again, slowly, as long as the client stays."""
        while not self._is_over.is_set():
            yield part
            self.pause(0.02)

    def close(self) -> None:
        """End all threads."""
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def receive(self, client: socket.socket) -> bytes:
        """Read a request: its head."""
        head = b""
        while b"\r\n\r\n" not in head and (part := client.recv(65536)):
            head += part
        return head

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            request = self.receive(client)
            self.requests.append(request)
            answer = self.answer(request) if callable(self.answer) else self.answer
            for part in [answer] if isinstance(answer, bytes) else answer:
                client.sendall(part)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()


def certificate(directory: Path, name: str) -> Path:
    """Make a key and a certificate of its own, for a host name or address; both are in the file that is returned."""
    path = directory / f"{name}.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}",
               "-keyout", str(path) + ".key", "-out", str(path)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


def server_context(path: Path) -> ssl.SSLContext:
    """Return what a server with this certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
