"""A Prometheus that keeps weeks in memory: samples are written by its remote-write protocol and queried over ranges.

Requests are protobuf in snappy's framing of a single block (https://prometheus.io/docs/concepts/remote_write_spec/);
snappy allows a block of literals only, so nothing is compressed.
"""

import itertools
import json
import os
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

Labels = Mapping[str, str]
Samples = Sequence[tuple[int, float]]
"""Unix time in seconds and value, oldest first."""

_STALE = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN by which Prometheus marks that a series has ended."""
_LITERAL_BYTES = 60
_POINTS = 10_000
"""Prometheus refuses more than 11,000 points of a series in one answer."""
_START_S = 20


class Server:
    """A Prometheus on loopback without configuration; use it in a `with` statement. OSError if it does not start."""

    def __init__(self, directory: Path) -> None:
        """Its storage and log are in `directory`; nothing runs yet."""
        self._directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"

    def __enter__(self) -> "Server":
        """Start it and wait until it answers."""
        (self._directory / "prometheus.yml").write_text("{}")
        with (self._directory / "prometheus.log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    "--storage.tsdb.min-block-duration=100d",  # so that the head takes weeks in any order of series
                    "--storage.tsdb.max-block-duration=100d",
                    "--storage.tsdb.retention.time=100y",
                    "--query.max-samples=200000000",
                    f"--web.listen-address={self._address}",
                    "--web.enable-remote-write-receiver",
                    "--log.level=warn",
                ],
                cwd=self._directory,
                stderr=log,
            )
        deadline_s = time.monotonic() + _START_S
        while True:
            try:
                self._get("/-/ready")
            except OSError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    self._process.kill()
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, in seconds."""
        _, _, after = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")
        user, system = after.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def write(self, series: Iterable[tuple[Labels, Samples]], step_s: int) -> None:
        """Add series; where a sample is missing, or none follows, the series ends a step later."""
        for labels, samples in series:
            body = _series(labels, samples, step_s)
            request = urllib.request.Request(
                f"http://{self._address}/api/v1/write",
                _varint(len(body)) + b"".join(_literals(body)),
                {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
            )
            urllib.request.urlopen(request).close()

    def over(self, expression: str, begin_s: int, end_s: int, step_s: int) -> list[tuple[Labels, Samples]]:
        """Return the series of an expression at each step; ValueError if it is refused."""
        found: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
        for start_s in range(begin_s, end_s + 1, _POINTS * step_s):
            last_s = min(end_s, start_s + (_POINTS - 1) * step_s)
            asked = {"query": expression, "start": start_s, "end": last_s, "step": step_s}
            for one in json.loads(self._get("/api/v1/query_range", asked))["data"]["result"]:
                key = tuple(sorted(one["metric"].items()))
                found.setdefault(key, []).extend((int(at_s), float(value)) for at_s, value in one["values"])
        return [(dict(key), samples) for key, samples in found.items()]

    def _get(self, path: str, asked: Mapping[str, Any] | None = None) -> bytes:
        body = None if asked is None else urllib.parse.urlencode(asked).encode()
        try:
            with urllib.request.urlopen(f"http://{self._address}{path}", body) as response:
                answer: bytes = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise
            raise ValueError(error.read().decode()) from error
        return answer


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _series(labels: Labels, samples: Samples, step_s: int) -> bytes:
    """Return a WriteRequest of one TimeSeries."""
    named = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items())
    )
    return _field(1, named + b"".join(_samples(samples, step_s)))


def _samples(samples: Samples, step_s: int) -> Iterator[bytes]:
    following = itertools.chain((at_s for at_s, _ in samples[1:]), (0,))
    for (at_s, value), next_s in zip(samples, following, strict=True):
        yield _sample(at_s, struct.pack("<d", value))
        if next_s != at_s + step_s:
            yield _sample(at_s + step_s, _STALE)


def _sample(at_s: int, value: bytes) -> bytes:
    return _field(2, b"\x09" + value + b"\x10" + _varint(at_s * 1000))


def _literals(body: bytes) -> Iterator[bytes]:
    """Yield snappy's elements: literals of up to 64 KiB, their length less one in two bytes."""
    for start in range(0, len(body), 1 << 16):
        part = body[start : start + (1 << 16)]
        yield bytes((_LITERAL_BYTES + 1 << 2,)) + struct.pack("<H", len(part) - 1) + part
