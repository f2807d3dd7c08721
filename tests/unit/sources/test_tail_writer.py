"""A log file while another process writes and rotates it."""

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.sources.tail.reader import Tail
from tests.support.tail import followed, lines

WRITER = """
import os, sys, time
path, way, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
for number in range(count):
    line = b"line %d of a log that is being rotated\\n" % number
    os.write(descriptor, line[:9])
    os.write(descriptor, line[9:])
    if number % 500 == 249:
        sys.stdin.readline()  # the reader has read something of it
    if number % 500 == 499 and way == "rename":
        for generation in range(10, 0, -1):
            try:
                os.rename(f"{path}.{generation}", f"{path}.{generation + 1}")
            except FileNotFoundError:
                pass
        os.rename(path, path + ".1")
        os.write(descriptor, b"late %d\\n" % number)
        os.close(descriptor)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    if number % 500 == 499 and way == "copytruncate":
        with open(path, "rb") as old, open(f"{path}.1", "wb") as copy:
            copy.write(old.read())
        os.truncate(path, 0)
        sys.stdin.readline()  # the reader has seen it
"""


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
def test_a_writer_at_work(tmp_path: Path, way: str) -> None:
    """While another process writes half lines and rotates, no line is lost, doubled or out of order."""
    path = tmp_path / "busy.log"
    path.write_bytes(b"before\n")
    arguments = [sys.executable, "-c", WRITER, str(path), way, "5000"]
    found: list[bytes] = []
    with followed(path) as tail, subprocess.Popen(arguments, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin
        told = 0
        while writer.poll() is None:
            found += lines(tail, 1000)
            if told < 20 and has_seen(tail, len(found), told, way):
                told += 1 if way == "copytruncate" else 2
                writer.stdin.write("\n")
                writer.stdin.flush()
        found += lines(tail)
        assert writer.returncode == 0
        assert tail.stats.lost_bytes == 0
    assert [line for line in found if not line.startswith(b"late")] == [
        b"line %d of a log that is being rotated" % number for number in range(5000)
    ]
    assert len([line for line in found if line.startswith(b"late")]) == (10 if way == "rename" else 0)


def has_seen(tail: Tail, count: int, told: int, way: str) -> bool:
    """Whether what the writer waits for has been read: half of the lines and, if it is emptied, that, by turns."""
    count -= told // 2 if way == "rename" else 0  # the late lines
    turn, is_emptied = divmod(told, 2)
    return tail.stats.truncations > turn if is_emptied else count >= 500 * turn + 250
