"""Segments: files of compressed frames, each with its length and checksums.

A segment is a header and frames. A frame holds the inputs of about a second: a marker, a fixed head with sizes, numbers
and times, and a zstd frame of its own without a dictionary, so that each can be read alone. The head has a checksum of
its own, since its lengths must be right before anything is read by them. A frame that was cut off by a crash ends the
segment. Damage in the middle costs the frames that it touches: the next marker with a sound head is searched.

Nothing that a file claims is believed: sizes are bounded before memory is taken.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, TypeAlias

import msgspec
import zstandard

from monitor.recording.bounds import RecordingError, array_length, check_row

MAGIC = b"nodewarden recording\n"
VERSION = 2
MAX_RAW_BYTES = 64 << 20
"""Of one frame: the bans and the history that a start restores can take some ten megabytes."""
MAX_INPUTS = 1 << 17
"""Of one frame: writers close it at a megabyte, and no input is shorter than nine bytes."""
_SMALL_BYTES, _MAX_RATIO = 1 << 20, 1000
"""A larger frame that was compressed by more than this holds nothing but repetitions, to fill memory."""
_LEVEL = -1
"""Faster than 1, and on rows of forged sources even smaller: they have little to find but the fixed parts."""
_MARKER = b"\xf7NWf"
_HEAD = struct.Struct("<HIIIIdd")  # flags, compressed and raw bytes, inputs, events, first and last time
_CHECKSUM = struct.Struct("<I")
_FIXED = struct.Struct("<HI")  # format version, bytes of the header
_MAX_HEADER_BYTES = 4096
_OVERHEAD = len(_MARKER) + _HEAD.size + 2 * _CHECKSUM.size
_HEAD_BYTES = _OVERHEAD - _CHECKSUM.size
"""A frame up to its data's checksum."""
_Head: TypeAlias = tuple[int, int, int, int, int, float, float]
_SEARCH_BYTES = 1 << 20
_KEY, _END, _STATE = 1, 2, 4


class Header(msgspec.Struct, frozen=True):
    """Who wrote a segment, with which version of nodewarden, and when it was opened (wall time, seconds)."""

    node: str
    version: str
    created_s: float
    has_pseudonyms: bool = False
    """Whether addresses and names were replaced by others."""


class Frame(NamedTuple):
    """A frame as it is stored; times are those of its first and last input."""

    is_key: bool
    """Whether it only repeats what was in force when the segment was opened."""
    is_end: bool
    """Whether the segment was closed with it: nothing is missing."""
    has_state: bool
    """Whether it is a key frame with all that the run knew, so that a replay can begin with it."""
    raw_bytes: int
    inputs: int
    events: int
    first_s: float
    last_s: float
    data: bytes

    def rows(self) -> list[msgspec.Raw]:
        """Return the inputs as bytes. Raises RecordingError if it is not what the head says."""
        try:
            if zstandard.get_frame_parameters(self.data).content_size != self.raw_bytes:
                raise RecordingError("a frame has another size than it says")
            raw = _decompressor().decompress(self.data, max_output_size=self.raw_bytes)
            if array_length(raw) != self.inputs or self.inputs > MAX_INPUTS:  # before memory is taken for each
                raise RecordingError("a frame has another number of inputs than it says, or too many")
            rows = _decode_rows(raw)
        except (zstandard.ZstdError, msgspec.DecodeError, MemoryError, RecursionError) as error:
            raise RecordingError(f"a frame cannot be decoded: {error}") from None
        for row in rows:
            check_row(row)
        return rows


class Damage(NamedTuple):
    """Bytes of a segment that are no frame. `is_end`: nothing readable follows, as after a crash while writing."""

    offset: int
    size_bytes: int
    is_end: bool


_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_rows = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=1 << 27)


class FrameEncoder:
    """Makes frames; one object for one thread, which keeps the memory of the compressor."""

    def __init__(self) -> None:
        """Take the memory for it."""
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def encode(
        self,
        rows: Sequence[bytes],
        *,
        events: int = 0,
        first_s: float,
        last_s: float,
        is_key: bool = False,
        is_end: bool = False,
        has_state: bool = False,
    ) -> bytes:
        """Return the frame of these inputs, which are in bytes already."""
        raw = b"".join((b"\xdd", len(rows).to_bytes(4), *rows))
        data = self._compressor.compress(raw)
        flags = is_key * _KEY | is_end * _END | has_state * _STATE
        head = _HEAD.pack(flags, len(data), len(raw), len(rows), events, first_s, last_s)
        return b"".join((_MARKER, head, _checksum(head), _checksum(data), data))


def encode_header(header: Header) -> bytes:
    """Return the start of a segment."""
    body = _encode_header(header)
    return b"".join((MAGIC, _FIXED.pack(VERSION, len(body)), body, _checksum(body)))


def read_header(file: BinaryIO) -> Header:
    """Read the start of a segment. Raises RecordingError; OSError if the file cannot be read."""
    if (magic := file.read(len(MAGIC))) != MAGIC:
        raise RecordingError("it is empty" if not magic else "it is no recording of nodewarden, or it is encrypted")
    fixed = file.read(_FIXED.size)
    if len(fixed) < _FIXED.size:
        raise RecordingError("it ends within its header")
    version, size = _FIXED.unpack(fixed)
    if version != VERSION:
        raise RecordingError(f"it is of format version {version}; this nodewarden reads version {VERSION}")
    if size > _MAX_HEADER_BYTES:
        raise RecordingError("its header is damaged")
    body, checksum = file.read(size), file.read(_CHECKSUM.size)
    if len(body) < size or len(checksum) < _CHECKSUM.size:
        raise RecordingError("it ends within its header")
    if _checksum(body) != checksum:
        raise RecordingError("its header is damaged")
    try:
        return _decode_header(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RecordingError("its header is damaged") from None


def frames(file: BinaryIO) -> Iterator[Frame | Damage]:
    """Yield what follows the header, up to the end of the file as it is now. Raises OSError."""
    offset = start = file.tell()
    end = file.seek(0, io.SEEK_END)
    patience = end - start
    while offset < end:
        file.seek(offset)
        head = _head(file.read(_HEAD_BYTES), 0, offset, end)
        found = None if head is None else _frame(file, head)
        if found is not None:
            yield found
            offset += _OVERHEAD + len(found.data)
            continue
        passed = 1
        if head is not None:  # only its data are damaged, and a frame may lie in them if some bytes were lost
            patience -= head[1]
            passed = 1 if patience >= 0 else min(_OVERHEAD + head[1], end - offset)
        following = _next_marker(file, offset + passed, end)
        yield Damage(offset, following - offset, following >= end)
        offset = following


def _frame(file: BinaryIO, head: _Head) -> Frame | None:
    """Return the frame of this head, behind which the file stands; None if its data are damaged."""
    flags, size, raw_bytes, inputs, events, first_s, last_s = head
    checksum, data = file.read(_CHECKSUM.size), file.read(size)
    if _checksum(data) != checksum:
        return None
    is_key, is_end, has_state = (bool(flags & one) for one in (_KEY, _END, _STATE))
    return Frame(is_key, is_end, has_state, raw_bytes, inputs, events, first_s, last_s, data)


def _head(block: bytes, place: int, offset: int, end: int) -> _Head | None:
    """Return the head of the frame at a place of a block, which is at an offset of the file; None if there is none."""
    if len(block) < place + _HEAD_BYTES or not block.startswith(_MARKER, place):
        return None
    values: _Head = _HEAD.unpack_from(block, place + len(_MARKER))
    _, size, raw_bytes, *_ = values
    if offset + _OVERHEAD + size > end or size > MAX_RAW_BYTES + _SMALL_BYTES:
        return None
    if not 0 < raw_bytes <= min(MAX_RAW_BYTES, _SMALL_BYTES + _MAX_RATIO * size):
        return None
    checked = place + _HEAD_BYTES - _CHECKSUM.size
    return values if _checksum(block[place + len(_MARKER) : checked]) == block[checked : place + _HEAD_BYTES] else None


def _next_marker(file: BinaryIO, offset: int, end: int) -> int:
    """Return where the next sound head starts, at `offset` or later; `end` if there is none."""
    while offset < end:
        file.seek(offset)
        block = file.read(_SEARCH_BYTES)
        place = block.find(_MARKER)
        while 0 <= place <= len(block) - _HEAD_BYTES:
            if _head(block, place, offset + place, end) is not None:
                return offset + place
            place = block.find(_MARKER, place + 1)
        if len(block) < _SEARCH_BYTES:
            return end
        offset += len(block) - _HEAD_BYTES + 1
    return end


def _checksum(data: bytes) -> bytes:
    return _CHECKSUM.pack(zlib.crc32(data))
