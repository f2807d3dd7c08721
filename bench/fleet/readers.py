"""Many light readers of one redis-server in one process: sockets that speak just enough of its protocol."""

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence


def command(*words: bytes | str | int) -> bytes:
    """Return a command in the server's protocol (RESP)."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def reply_end(data: bytes, start: int = 0) -> int | None:
    """Return the end of the reply that starts there; None if it is incomplete."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, number, at = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind == b"$":
        at = at if number == b"-1" else at + int(number) + 2
        return at if at <= len(data) else None
    if kind == b"*":
        for _ in range(int(number)):
            end = reply_end(data, at)
            if end is None:
                return None
            at = end
    return at


class Readers:
    """Connections that wait for replies together."""

    def __init__(self, address: str, port: int, count: int) -> None:
        """Connect all of them."""
        self._selector = selectors.EpollSelector()
        self.links: list[socket.socket] = []
        self.received_bytes = 0
        for _ in range(count):
            link = socket.create_connection((address, port), 10)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.settimeout(0)
            self.links.append(link)
            self._selector.register(link, selectors.EVENT_READ, bytearray())

    def close(self) -> None:
        """Close all connections."""
        for link in self.links:
            link.close()
        self._selector.close()

    def send(self, data: bytes) -> None:
        """Send the same command from each of them."""
        for link in self.links:
            link.sendall(data)

    def wait(self, replies: int, timeout_s: float = 60.0, *, then: bytes = b"") -> None:
        """Take that many replies of all connections together; `then` is sent by each that got one."""
        deadline_s = time.monotonic() + timeout_s
        while replies > 0:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{replies} replies are missing")
            for key, _ in self._selector.select(1.0):
                replies -= self._read(key, then)

    def _read(self, key: selectors.SelectorKey, then: bytes) -> int:
        buffer: bytearray = key.data
        link = key.fileobj
        assert isinstance(link, socket.socket)
        with contextlib.suppress(BlockingIOError):
            while chunk := link.recv(1 << 16):
                buffer += chunk
                self.received_bytes += len(chunk)
        count, at = 0, 0
        data = bytes(buffer)
        while at < len(data) and (end := reply_end(data, at)) is not None:
            if data[at : at + 1] == b"-":
                raise RuntimeError(data[at:end].decode())
            count, at = count + 1, end
        del buffer[:at]
        if count and then:
            link.sendall(then)
        return count


def all_names(count: int) -> Sequence[str]:
    """Return names of nodes as long as real ones."""
    return [f"node-{number:05}.example.net" for number in range(count)]
