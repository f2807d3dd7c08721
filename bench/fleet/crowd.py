"""A thousand readers of one server at work, to check the model: the server's CPU time is measured, not computed."""

import contextlib
import heapq
import re
import selectors
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import redis

from bench.fleet.readers import Readers, command, reply_end
from bench.process import cpu_s
from tests.support.fleet_server import FleetServer

_ID = re.compile(rb"\d+-\d+")
_STREAM, _BELL = "{nodewarden:bench}:s:node-1", "{nodewarden:bench}:bell"


class Work(NamedTuple):
    """What was measured."""

    cores: float
    rounds_per_s: float
    """Reads after a ring, of all readers together."""
    entries: int
    """Records that readers got."""
    expected: int


class _Reader:
    """One node: waits for the bell, reads the stream, pauses."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.buffer = bytearray()
        self.bell, self.stream = b"0", b"0"
        self.is_waiting = True

    def wait(self) -> None:
        self.is_waiting = True
        self.link.sendall(command("XREAD", "COUNT", 100, "BLOCK", 0, "STREAMS", _BELL, self.bell))

    def take(self) -> bytes:
        """Return the reply if it is complete, else nothing."""
        with contextlib.suppress(BlockingIOError):
            self.buffer += self.link.recv(1 << 16)
        data = bytes(self.buffer)
        end = reply_end(data)
        if end is None:
            return b""
        del self.buffer[:end]
        return data[:end]


def crowd(directory: Path, port: int, *, readers: int, bans_per_s: float, pause_s: float, duration_s: float) -> Work:
    """Let readers follow bans of one node for a while."""
    server = FleetServer(directory, port=port)
    server.start()
    try:
        with (
            contextlib.closing(redis.Redis(port=port)) as client,
            contextlib.closing(Readers("127.0.0.1", port, readers)) as links,
        ):
            return _Crowd(client, links, pause_s).run(server.pid, bans_per_s, duration_s)
    finally:
        server.kill()


class _Crowd:
    def __init__(self, client: "redis.Redis", links: Readers, pause_s: float) -> None:
        self._client: Any = client
        self._readers = {link.fileno(): _Reader(link) for link in links.links}
        self._pause_s = pause_s
        self._due: list[tuple[float, int]] = []
        self._rounds = self._entries = 0

    def run(self, pid: int, bans_per_s: float, duration_s: float) -> Work:
        selector = selectors.EpollSelector()
        for descriptor, reader in self._readers.items():
            selector.register(descriptor, selectors.EVENT_READ)
            reader.wait()
        start_s, began_s, published = time.monotonic(), cpu_s(pid), 0
        while (now_s := time.monotonic()) < start_s + duration_s:
            if published < (now_s - start_s) * bans_per_s:
                self._publish()
                published += 1
            while self._due and self._due[0][0] <= now_s:
                self._readers[heapq.heappop(self._due)[1]].wait()
            for key, _ in selector.select(0.002):
                self._answered(key.fd, now_s)
        used_s = cpu_s(pid) - began_s
        selector.close()
        return Work(used_s / duration_s, self._rounds / duration_s, self._entries, published * len(self._readers))

    def _publish(self) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset("{nodewarden:bench}:b:node-1", "198.51.100.1", b"x" * 62)
            pipe.xadd(_STREAM, {b"b": b"x" * 62}, maxlen=10_000)
            pipe.xadd(_BELL, {b"n": "node-1"}, maxlen=10_000)
            pipe.execute()

    def _answered(self, descriptor: int, now_s: float) -> None:
        reader = self._readers[descriptor]
        reply = reader.take()
        if not reply:
            return
        if reader.is_waiting:
            reader.bell = _ids(reply)[-1]
            reader.is_waiting = False
            reader.link.sendall(command("XREAD", "COUNT", 500, "STREAMS", _STREAM, reader.stream))
            return
        self._rounds += 1
        if ids := _ids(reply):
            reader.stream = ids[-1]
            self._entries += len(ids)
        if self._pause_s:
            heapq.heappush(self._due, (now_s + self._pause_s, descriptor))
        else:
            reader.wait()


def _ids(reply: bytes) -> list[bytes]:
    """Return the ids of the entries of an answer to XREAD."""
    return [part for part in reply.split(b"\r\n") if _ID.fullmatch(part)]
