"""Unpacks gzip, xz and bzip2: streams one after the other, as `cat` joins them; what precedes damage is read first."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Protocol

_MAX_DECODER_BYTES = 256 << 20
"""Memory that unpacking may take; xz -9 needs 65 MiB."""
_PACKED_BYTES = 65_536


class Stream(Protocol):
    """Unpacks one stream, as the decompressors of `lzma` and `bz2` do."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more can be unpacked of what it was given."""

    @property
    def unused_data(self) -> bytes:
        """What follows its end of what it was given."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take more, and return at most so many bytes."""


class _Gzip:
    """A `Stream` of gzip."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(found) < max_length
        return found


class Unpacked:
    """Reads what a packed file holds."""

    def __init__(self, raw: IO[bytes], make: Callable[[], Stream]) -> None:
        """Read from a file; `make` begins with another stream."""
        self._raw, self._make = raw, make
        self._stream = make()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end.

        Raises EOFError if the end is missing, and what its library raises for what is no stream.
        """
        while True:
            if self._stream.eof and not self._begin():
                return b""
            packed, self._packed = self._packed, b""
            if not packed and self._stream.needs_input:
                packed = self._raw.read(_PACKED_BYTES)
                if not packed:
                    raise EOFError
            if data := self._stream.decompress(packed, size):
                return data

    def _begin(self) -> bool:
        """Begin with the next stream, after zeros that pad the one before; whether there is one."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest:
            if not (read := self._raw.read(_PACKED_BYTES)):
                return False
            rest = read.lstrip(b"\0")
        self._stream, self._packed = self._make(), rest
        return True


def unpacker(start: bytes) -> Callable[[], Stream] | None:
    """Return what unpacks a file that starts with these bytes; None if it is not packed in one of these ways."""
    if start.startswith(b"\x1f\x8b"):
        return _Gzip
    if start.startswith(b"\xfd7zXZ\0"):
        return lambda: lzma.LZMADecompressor(memlimit=_MAX_DECODER_BYTES)
    if start.startswith(b"BZh") and start[4:10] == b"1AY&SY":
        return bz2.BZ2Decompressor
    return None
