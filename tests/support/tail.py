"""Reads a tail to the end, as its runner does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.model.logs import LogBlock
from monitor.sources.tail.reader import Tail

DETECTOR = "sshd"


@contextmanager
def followed(*patterns: object, **options: Any) -> Iterator[Tail]:
    """Follow these patterns for one detector; existing content is not read yet."""
    tail = Tail({DETECTOR: [str(pattern) for pattern in patterns]}, **options)
    try:
        yield tail
    finally:
        tail.close()


def blocks(tail: Tail, limit_bytes: int = 262_144) -> list[LogBlock]:
    """Return all pending blocks."""
    found = tail.read(limit_bytes)
    while not tail.is_drained:
        found += tail.read(limit_bytes)
    return found


def lines(tail: Tail, limit_bytes: int = 262_144) -> list[bytes]:
    """Return the pending lines, without their newlines."""
    found: list[bytes] = []
    for block in blocks(tail, limit_bytes):
        assert block.data.endswith(b"\n")
        found += block.data.split(b"\n")[:-1]
    return found


def tick(tail: Tail, after_s: float) -> bool:
    """Advance the time."""
    return tail.tick(time.monotonic() + after_s)


def append(path: Path, text: bytes) -> None:
    """Append to a file, which is created if it is missing."""
    with path.open("ab") as file:
        file.write(text)


def open_files(path: Path) -> int:
    """Return how many files below this directory the process has open."""
    links = (link for link in Path("/proc/self/fd").iterdir())
    return sum(str(path) in str(link.readlink()) for link in links if link.exists() or link.is_symlink())
