"""The bytes of a file, unpacked if it is compressed; one that ends too early or is damaged ends there, and says so."""

import lzma
import os
import stat
import sys
import zlib
from pathlib import Path
from typing import IO

import zstandard

from monitor.config.faults import show_path
from monitor.daemon.replay.foreign.file_report import UnusableFileError
from monitor.daemon.replay.foreign.unpacked import Unpacked, unpacker
from monitor.model.errors import explain

HEAD_BYTES = 65_536
"""How much of a file its kind is told by."""
_MAX_WINDOW_BYTES = 128 << 20
"""Of zstd, as its own program takes without asking; `zstd --ultra -22` needs as much."""
_STEP_BYTES = 1024
"""Of a zstd file at a time: its blocks of one repeated byte turn 4 bytes into 128 KiB, so this into 32 MiB at most."""
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError, MemoryError)
STANDARD_INPUT = Path("-")


class Content:
    """Reads a file from its start. Close it, or use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open a file, a pipe, or standard input (`-`); UnusableFileError says why that is not possible."""
        self.name = "standard input" if path == STANDARD_INPUT else show_path(path)
        self.path = path
        self.damage = ""
        """Why it ended before its end, in words that follow "the file"; empty: it did not."""
        self.read_bytes = 0
        try:
            self._raw: IO[bytes] = sys.stdin.buffer if path == STANDARD_INPUT else _open(path)
            status = os.fstat(self._raw.fileno())
        except (OSError, ValueError) as error:
            raise UnusableFileError(f"{self.name} cannot be read: {explain(error)}") from error
        self.size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else None
        """Of the file as it is stored; None for a pipe."""
        self.written_s = status.st_mtime if stat.S_ISREG(status.st_mode) else None
        """When it was written last, in wall time."""
        self._file, self.is_packed = self._unpacked()
        self._head, self._head_at = b"", 0
        self._head = self.read(HEAD_BYTES)
        self.read_bytes = 0

    def __enter__(self) -> "Content":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.path != STANDARD_INPUT:
            self._raw.close()

    @property
    def head(self) -> bytes:
        """The first bytes, at most `HEAD_BYTES`."""
        return self._head

    @property
    def share(self) -> float | None:
        """How much of the file was read, from 0 to 1; None if its size is not known."""
        if not self.size_bytes or self.path == STANDARD_INPUT:
            return None
        try:
            return min(1.0, self._raw.tell() / self.size_bytes)
        except (OSError, ValueError):
            return None

    def read(self, size: int) -> bytes:
        """Return this many bytes, fewer only at the end; never raises because of the file."""
        parts = []
        if self._head_at < len(self._head):
            parts.append(self._head[self._head_at : self._head_at + size])
            self._head_at += len(parts[0])
            size -= len(parts[0])
        while size > 0 and not self.damage:
            try:
                part = self._file.read(min(size, 1 << 20))
            except _DAMAGE as error:
                self.damage = "is damaged, or its end is missing" if self.is_packed else explain(error)
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.read_bytes += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Read over this many bytes; whether there were as many."""
        while size > 0:
            part = self.read(min(size, 1 << 20))
            if not part:
                return False
            size -= len(part)
        return True

    def _unpacked(self) -> tuple[IO[bytes], bool]:
        """Return the stream to read, and whether it is unpacked on the way."""
        try:
            start = self._raw.peek(10)[:10]  # type: ignore[attr-defined]
        except OSError as error:
            raise UnusableFileError(f"{self.name} cannot be read: {explain(error)}") from error
        if start.startswith(b"\x28\xb5\x2f\xfd"):
            return _Zstandard(self._raw), True  # type: ignore[return-value]
        make = unpacker(start)
        if make is not None:
            return Unpacked(self._raw, make), True  # type: ignore[return-value]
        return self._raw, False


class _Zstandard:
    """Reads zstd frames, one after the other, as `cat` joins them; EOFError if the last one is cut off."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        self._frame = self._unpacker.decompressobj()
        self._packed = b""
        self._is_within = False

    def read(self, size: int) -> bytes:  # noqa: ARG002 - as much as one step of input holds
        while packed := self._packed or self._raw.read(_STEP_BYTES):
            data = self._frame.decompress(packed)
            self._packed, self._is_within = self._frame.unused_data, not self._frame.eof
            if self._frame.eof:
                self._frame = self._unpacker.decompressobj()
            if data:
                return data
        if self._is_within:
            raise EOFError
        return b""


def _open(path: Path) -> IO[bytes]:
    """Open a regular file or a pipe: a device may never end."""
    file = path.open("rb")
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        file.close()
        raise OSError(0, "it is neither a file nor a pipe")
    return file
