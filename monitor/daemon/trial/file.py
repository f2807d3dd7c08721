"""The file in the state directory that remembers a trial configuration over crashes and reboots.

It is what puts a trial in force after a restart: where it is missing or damaged, the configuration in /etc is in force.
"""

import contextlib
import functools
import os
import time
from pathlib import Path

import msgspec

from monitor.daemon.trial.record import Instant, Remembered
from monitor.files.regular import read_regular
from monitor.model.errors import TemporaryError, explain

FILE_NAME = "trial.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LIMIT_BYTES = 8 << 20
_decode = msgspec.json.Decoder(Remembered).decode


class DamagedError(Exception):
    """What is on disk cannot be understood; the text says why."""


def instant() -> Instant:
    """Return the time by both clocks."""
    try:
        known = boot_id()
    except (OSError, ValueError):
        known = ""
    return Instant(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), known)


@functools.cache
def boot_id() -> str:
    """Return what tells this boot from others: it stays the same as long as the process runs."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


class TrialFile:
    """Reads and writes what is remembered, each time as a whole."""

    def __init__(self, directory: Path) -> None:
        """Take the state directory."""
        self.path = directory / FILE_NAME

    def read(self) -> Remembered:
        """Return what is remembered, nothing if there is no file; DamagedError if it cannot be understood."""
        try:
            content = read_regular(self.path, _LIMIT_BYTES)
        except FileNotFoundError:
            return Remembered()
        except (OSError, ValueError) as error:
            raise DamagedError(f"{self.path} cannot be read: {error}") from error
        try:
            remembered = _decode(content)
        except (msgspec.DecodeError, ValueError) as error:
            raise DamagedError(f"{self.path} is damaged: {error}") from error
        if remembered.version != Remembered().version:
            raise DamagedError(f"{self.path} is of version {remembered.version}")
        return remembered

    def remove(self) -> None:
        """Forget everything; needs no room on the disk. TemporaryError if the file stays."""
        try:
            self.path.unlink(missing_ok=True)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise TemporaryError(f"{self.path} cannot be removed: {explain(error)}") from error

    def write(self, remembered: Remembered, *, is_lasting: bool = True) -> None:
        """Replace what is remembered; `is_lasting`: it is on disk when this returns. TemporaryError if it cannot be."""
        new = self.path.with_name(f".{FILE_NAME}.new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(remembered))
                file.flush()
                if is_lasting:
                    os.fdatasync(file.fileno())
            new.replace(self.path)
            if is_lasting:
                _sync_directory(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise TemporaryError(f"{self.path} cannot be written: {explain(error)}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
