"""Unit costs of a fleet's server, measured on a real redis-server: CPU time, bytes on the wire, memory."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis

from bench.fleet.readers import Readers, all_names, command
from tests.support.fleet_server import FleetServer

_TAG = "{nodewarden:bench}"
_RECORD = os.urandom(62)
_HELLO = os.urandom(300)
_READERS = 1000
_RINGS = 10
_TIMES = 4000
_NODES = 2000
_RECORDS = 100_000
_KEYS_AT_ONCE = 100
_ENTRIES_AT_ONCE = 50


class Units(msgspec.Struct, frozen=True):
    """What one of each costs the server: microseconds of CPU time, bytes of memory or on the wire."""

    publish_us: float
    """One ban: hash, expiry, stream and bell in one transaction."""
    wake_us: float
    """A reader that waits for the bell is woken by it, and waits again."""
    follow_us: float
    """Such a reader reads the one stream that the bell named."""
    poll_us: float
    """A reader asks what changed since it last asked: the answer is short."""
    entry_us: float
    """One changed stream with one entry more in an answer that has several."""
    idle_stream_us: float
    """One unchanged stream more in a request for several."""
    hello_us: float
    """A node writes its hello."""
    peer_hello_us: float
    """A reader reads one hello more, of 300 bytes, with several others."""
    mark_us: float
    """A reader looks at how far one peer more is, with several others."""
    scan_us: float
    """A reader reads the small hash of one peer more, with several others."""
    record_us: float
    """One record more in an answer to that."""
    connection_bytes: float
    record_bytes: float
    """Memory of one ban in a hash."""
    entry_bytes: float
    """Memory of one entry of a stream."""
    node_bytes: float
    """Memory of a node's hello, its name, and its almost empty keys."""
    wake_wire_bytes: float
    """Sent for one wake-up with the read that follows."""
    entry_wire_bytes: float
    """Sent for one entry in an answer with several."""


def measure(directory: Path, port: int) -> Units:
    """Run a server on loopback and measure."""
    server = FleetServer(directory, port=port)
    server.start()
    try:
        with contextlib.closing(redis.Redis(port=port, decode_responses=False)) as client:
            return _Meter(client, port).units()
    finally:
        server.kill()


class _Meter:
    def __init__(self, client: "redis.Redis", port: int) -> None:
        self._client: Any = client
        self._port = port
        self._names = all_names(_NODES)

    def units(self) -> Units:
        connection_bytes = self._connection_bytes()
        publish_us = self._each(_TIMES, lambda number: self._publish(number, _address(number)))
        self._client.flushall()
        node_bytes = self._nodes()
        hello_us = self._each(_TIMES, lambda number: self._client.set(self._key("n", number), _HELLO, ex=60))
        wake_us, wake_wire, follow_us, follow_wire = self._wakes()
        entry_us, entry_wire, idle_stream_us, poll_us = self._streams()
        peer_hello_us = self._got("n", _HELLO)
        mark_us = self._got("m", b"1234567 0123456789abcdef")
        record_bytes, entry_bytes = self._records()
        scan_us, record_us = self._scans()
        return Units(
            publish_us=publish_us,
            wake_us=wake_us,
            follow_us=follow_us,
            poll_us=poll_us,
            entry_us=entry_us,
            idle_stream_us=idle_stream_us,
            hello_us=hello_us,
            peer_hello_us=peer_hello_us,
            mark_us=mark_us,
            scan_us=scan_us,
            record_us=record_us,
            connection_bytes=connection_bytes,
            record_bytes=record_bytes,
            entry_bytes=entry_bytes,
            node_bytes=node_bytes,
            wake_wire_bytes=wake_wire + follow_wire,
            entry_wire_bytes=entry_wire,
        )

    def _key(self, kind: str, number: int) -> str:
        return f"{_TAG}:{kind}:{self._names[number % len(self._names)]}"

    def _publish(self, number: int, address: str) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._key("b", number), address, _RECORD)
            pipe.pexpire(self._key("b", number), 86_400_000)
            pipe.xadd(self._key("s", number), {b"b": address, b"r": _RECORD}, maxlen=10_000)
            pipe.xadd(f"{_TAG}:bell", {b"n": self._names[number % len(self._names)]}, maxlen=10_000)
            pipe.execute()

    def _cpu_us(self) -> float:
        info = self._client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6

    def _memory(self, field: str = "used_memory") -> int:
        return int(self._client.info("memory")[field])

    @contextlib.contextmanager
    def _readers(self, count: int = _READERS) -> Iterator[Readers]:
        with contextlib.closing(Readers("127.0.0.1", self._port, count)) as readers:
            yield readers

    def _each(self, times: int, act: Callable[[int], object]) -> float:
        """Return the server's CPU time of one act, in microseconds."""
        before = self._cpu_us()
        for number in range(times):
            act(number)
        return (self._cpu_us() - before) / times

    def _connection_bytes(self) -> float:
        """Return the memory of a connection that waits: as the server counts it, or in its resident pages."""
        counted, resident = self._memory(), self._memory("used_memory_rss")
        with self._readers() as readers:
            readers.send(command("XREAD", "BLOCK", 0, "STREAMS", f"{_TAG}:bell", "$"))
            time.sleep(0.5)
            grown = max(self._memory() - counted, self._memory("used_memory_rss") - resident)
        return grown / _READERS

    def _nodes(self) -> float:
        before = self._memory()
        with self._client.pipeline(transaction=False) as pipe:
            for number, name in enumerate(self._names):
                pipe.set(self._key("n", number), _HELLO, ex=60)
                pipe.zadd(f"{_TAG}:names", {name: time.time()})
            pipe.execute()
        for number in range(_NODES):
            self._publish(number, "192.0.2.1")
        return (self._memory() - before) / _NODES

    def _wakes(self) -> tuple[float, float, float, float]:
        """Return CPU time and bytes of a wake-up, and of the read that follows."""
        wait = command("XREAD", "COUNT", 100, "BLOCK", 0, "STREAMS", f"{_TAG}:bell", "$")
        with self._readers() as readers:
            readers.send(wait)
            time.sleep(0.3)
            before, received = self._cpu_us(), readers.received_bytes
            for number in range(_RINGS):
                self._publish(number, "192.0.2.7")
                readers.wait(_READERS, then=wait)
                time.sleep(0.05)
            wake_us = (self._cpu_us() - before) / (_RINGS * _READERS)
            wake_wire = (readers.received_bytes - received) / (_RINGS * _READERS) + len(wait)
        with self._readers() as readers:
            last = self._client.xinfo_stream(self._key("s", 0))["last-generated-id"]
            self._publish(0, "192.0.2.8")
            follow = command("XREAD", "COUNT", 100, "STREAMS", self._key("s", 0), last)
            before = self._cpu_us()
            for _ in range(_RINGS):
                readers.send(follow)
                readers.wait(_READERS)
            follow_us = (self._cpu_us() - before) / (_RINGS * _READERS)
            follow_wire = readers.received_bytes / (_RINGS * _READERS) + len(follow)
        return wake_us, wake_wire, follow_us, follow_wire

    def _streams(self) -> tuple[float, float, float, float]:
        """Return CPU time and bytes of an entry of an answer with several, of an unchanged stream, of a short poll."""
        keys = [self._key("s", number) for number in range(_ENTRIES_AT_ONCE)]
        changed = command("XREAD", "COUNT", 100, "STREAMS", *keys, *("0" for _ in keys))
        for number in range(_ENTRIES_AT_ONCE):
            self._client.delete(keys[number])
            self._publish(number, "192.0.2.9")
        idle = command("XREAD", "COUNT", 100, "STREAMS", *keys, *("$" for _ in keys))
        poll = command("ZRANGE", f"{_TAG}:names", "+inf", "-inf", "BYSCORE", "REV", "LIMIT", 0, 1)
        costs = []
        with self._readers() as readers:
            for request in (poll, idle, changed):
                received, before = readers.received_bytes, self._cpu_us()
                for _ in range(_RINGS):
                    readers.send(request)
                    readers.wait(_READERS)
                costs.append((self._cpu_us() - before) / (_RINGS * _READERS))
            wire = (readers.received_bytes - received) / (_RINGS * _READERS) + len(changed)
        poll_us, idle_us, changed_us = costs
        count = len(keys)
        return (changed_us - poll_us) / count, wire / count, max(0.0, idle_us - poll_us) / count, poll_us

    def _got(self, kind: str, value: bytes) -> float:
        """Return the CPU time of reading one key of several in one request."""
        keys = [self._key(kind, number) for number in range(_KEYS_AT_ONCE)]
        self._client.mset(dict.fromkeys(keys, value))

        def get(_: int) -> None:
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.getrange(key, 0, 4096)
                pipe.execute()

        return self._each(_TIMES // 8, get) / _KEYS_AT_ONCE

    def _records(self) -> tuple[float, float]:
        """Return the memory of a ban in a hash, and of an entry in a stream."""
        before = self._memory()
        key = f"{_TAG}:b:many"
        for first in range(0, _RECORDS, 1000):
            self._client.hset(key, mapping={_address(n): os.urandom(62) for n in range(first, first + 1000)})
        hash_bytes = (self._memory() - before) / _RECORDS
        before = self._memory()
        with self._client.pipeline(transaction=False) as pipe:
            for number in range(10_000):
                pipe.xadd(f"{_TAG}:s:many", {b"b": _address(number), b"r": os.urandom(62)}, maxlen=10_000)
            pipe.execute()
        return hash_bytes, (self._memory() - before) / 10_000

    def _scans(self) -> tuple[float, float]:
        """Return the CPU time of one scan of a small hash among several in one request, and of one record more."""
        small = self._each(_TIMES // 100, self._scan_hundred) / 100
        large = self._each(200, lambda _: self._client.hscan(f"{_TAG}:b:many", 0, count=500))
        return small, (large - small) / 500

    def _scan_hundred(self, first: int) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for number in range(first * 100, first * 100 + 100):
                pipe.hscan(self._key("b", number), 0, count=500)
            pipe.execute()


def _address(number: int) -> str:
    return f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"
