"""How large what a frame holds may be: a few bytes of msgpack can stand for a hundred times as much memory.

An empty list takes one byte in a file and 56 in memory, and a file says itself how many there are. So what is longer
than any input that is written is refused before anything is made of it. Typed rows of bans, offences and events take
about ten times their bytes, and may be as long as a frame.
"""

import msgspec

from monitor.model.errors import NodewardenError

_MAX_ROW_BYTES = 4 << 20
"""Of an input other than these, and of a configuration's document."""
_LONG = tuple(msgspec.msgpack.encode(tag) for tag in ("events", "restored", "configured", "corrected", "ordered"))
_ARRAYS = {0xDC: 2, 0xDD: 4}
"""By first byte of an array, how many bytes of its length follow."""


class RecordingError(NodewardenError):
    """This is no recording that can be read; the text says why."""


class _Configured(msgspec.Struct, array_like=True, tag="configured"):
    time_s: float
    document: msgspec.Raw


_decode_configured = msgspec.msgpack.Decoder(_Configured).decode


def array_length(data: bytes) -> int | None:
    """Return how many elements the array has that these bytes begin with; None if they begin with none."""
    size, length = _array(data)
    return length if size else None


def check_row(row: msgspec.Raw) -> None:
    """Raise RecordingError for an input that is longer than any that is written."""
    view = memoryview(row)
    if len(view) <= _MAX_ROW_BYTES:
        return
    size, _ = _array(view[:5])
    start = bytes(view[size : size + 16])
    if not size or not start.startswith(_LONG):
        raise RecordingError("an input is longer than any")
    if start.startswith(_LONG[2]):
        try:
            document = _decode_configured(row).document
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RecordingError("a configuration cannot be decoded") from None
        if len(memoryview(document)) > _MAX_ROW_BYTES:
            raise RecordingError("a configuration is longer than any")


def _array(data: bytes | memoryview) -> tuple[int, int]:
    """Return the size of the head of an array, 0 if it is none, and how many elements it has."""
    if not len(data):
        return 0, 0
    first = data[0]
    if first & 0xF0 == 0x90:
        return 1, first & 0x0F
    size = _ARRAYS.get(first, 0)
    return (1 + size, int.from_bytes(data[1 : 1 + size])) if size else (0, 0)
