"""Creates journals for tests with systemd-journal-remote, and reads them."""

import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.model.logs import LogBlock
from monitor.sources.journal.reader import Journal
from tests.support.needs import cannot_run
from tests.support.writers import MACHINE_ID

BOOT = "0123456789abcdef0123456789abcdef"
SSH = {"sshd": [["_SYSTEMD_UNIT=ssh.service", "+", "_COMM=sshd"]]}
ROOT = {
    "_MACHINE_ID": MACHINE_ID,
    "_UID": "0",
    "_COMM": "sshd",
    "SYSLOG_IDENTIFIER": "sshd",
    "_PID": "7",
    "_HOSTNAME": "node1",
}


def remote() -> str:
    """Return the path of systemd-journal-remote; without it, skip the test, or fail it in CI."""
    path = shutil.which("systemd-journal-remote", path=f"/lib/systemd:/usr/lib/systemd:{os.environ['PATH']}")
    if path is None:
        cannot_run("needs systemd-journal-remote (make setup installs it)")
    return path


def exported(fields: Mapping[str, str | bytes], time_us: int, monotonic_us: int) -> bytes:
    """Return an entry in the journal export format."""
    stamps = {"__REALTIME_TIMESTAMP": str(time_us), "__MONOTONIC_TIMESTAMP": str(monotonic_us), "_BOOT_ID": BOOT}
    parts = [f"{name}={value}\n".encode() for name, value in stamps.items()]
    for name, value in fields.items():
        data = value.encode() if isinstance(value, str) else value
        parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
    return b"".join(parts) + b"\n"


class Log:
    """A directory of journal files; the times of entries start an hour ago, or now with `live`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._remote = remote()
        self._ticks = 0

    def write(self, *messages: str | bytes, file: str = "a", live: bool = False, **fields: str | bytes) -> None:
        """Append one entry per message, from sshd as root unless `fields` overrides it."""
        self.write_entries([ROOT | fields | {"MESSAGE": message} for message in messages], file=file, live=live)

    def write_entries(
        self, entries: Sequence[Mapping[str, str | bytes]], *, file: str = "a", live: bool = False
    ) -> None:
        """Append entries to a file of the directory."""
        data = b""
        start_us = int(time.time() * 1e6) + (0 if live else -3_600_000_000)
        for fields in entries:
            self._ticks += 1
            data += exported(fields, start_us + self._ticks, (4 if live else 0) * 1_000_000_000 + self._ticks)
        done = subprocess.run(
            [self._remote, "-o", self.directory / f"{file}.journal", "-"], input=data, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def drain(source: Journal, limit: int = 1000) -> list[LogBlock]:
    """Return the blocks of all pending entries."""
    blocks = source.read(limit)
    while not source.is_drained:
        blocks += source.read(limit)
    return blocks


def text(blocks: Sequence[LogBlock]) -> list[bytes]:
    """Return the messages without the prefix."""
    return [line.partition(b": ")[2] for block in blocks for line in block.data.splitlines()]


def is_readable(source: Journal) -> bool:
    """Whether the descriptor would wake a loop that waits on it for reading."""
    return bool(select.select([source.fileno()], [], [], 0)[0])


def until_readable(source: Journal) -> None:
    """Wait for the descriptor to become readable."""
    assert select.select([source.fileno()], [], [], 20)[0], "the reader was not woken"


def follow(source: Journal, count: int) -> list[bytes]:
    """Return `count` messages, read whenever the descriptor becomes readable."""
    messages: list[bytes] = []
    while len(messages) < count:
        until_readable(source)
        messages += text(drain(source))
    return messages
