"""Segments survive crashes and damage, and believe nothing that a file claims."""

import io
import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from monitor.recording.bounds import RecordingError
from monitor.recording.segments import (
    MAGIC,
    MAX_RAW_BYTES,
    VERSION,
    Damage,
    Frame,
    FrameEncoder,
    Header,
    encode_header,
    frames,
    read_header,
)

_HEADER = Header("node-1", "1.0", 5.0)
_ROWS = [[b"\x01", b"\x02"], [b"\x03"], [b"\xa1x"] * 40]


def _segment() -> tuple[bytes, list[bytes]]:
    encoder = FrameEncoder()
    parts = [encoder.encode(rows, events=len(rows), first_s=1.0, last_s=2.0) for rows in _ROWS]
    return encode_header(_HEADER), parts


def _read(data: bytes) -> list[Frame | Damage]:
    file = io.BytesIO(data)
    assert read_header(file) == _HEADER
    return list(frames(file))


def _sound(data: bytes) -> list[list[bytes]]:
    return [[bytes(row) for row in one.rows()] for one in _read(data) if isinstance(one, Frame)]


def test_what_was_written_is_read() -> None:
    """Header, times, numbers and inputs come back."""
    head, parts = _segment()
    found = _read(head + b"".join(parts))
    assert [(one.events, one.first_s, one.last_s) for one in found if isinstance(one, Frame)] == [
        (2, 1.0, 2.0),
        (1, 1.0, 2.0),
        (40, 1.0, 2.0),
    ]
    assert _sound(head + b"".join(parts)) == _ROWS


@given(st.integers(0, 400))
def test_a_torn_end_costs_only_its_frame(cut: int) -> None:
    """Wherever a crash cut the file, all whole frames before are read, and the rest is an end without successor."""
    head, parts = _segment()
    body = b"".join(parts)
    cut = min(cut, len(body))
    whole = [end for end in (sum(map(len, parts[:count])) for count in range(len(parts) + 1)) if end <= cut]
    data = head + body[:cut]
    assert _sound(data) == _ROWS[: len(whole) - 1]
    assert [one.is_end for one in _read(data) if isinstance(one, Damage)] == ([True] if whole[-1] < cut else [])


@given(st.data())
def test_damage_in_the_middle_costs_the_frames_that_it_touches(data: st.DataObject) -> None:
    """A changed byte loses one frame, names the place, and the others are read."""
    head, parts = _segment()
    place = data.draw(st.integers(0, len(parts[0]) + len(parts[1]) - 1))
    changed = bytearray(head + b"".join(parts))
    changed[len(head) + place] ^= data.draw(st.integers(1, 255))
    hit = 0 if place < len(parts[0]) else 1
    assert _sound(bytes(changed)) == [rows for number, rows in enumerate(_ROWS) if number != hit]
    start = len(head) + (len(parts[0]) if hit else 0)
    assert [one for one in _read(bytes(changed)) if isinstance(one, Damage)] == [
        Damage(start, len(parts[hit]), is_end=False)
    ]


def test_zeros_after_a_power_cut_are_an_end() -> None:
    """Blocks that were allocated and not written do not hide the frames before them."""
    head, parts = _segment()
    found = _read(head + parts[0] + bytes(5000))
    assert found[1:] == [Damage(len(head) + len(parts[0]), 5000, is_end=True)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (bytes(4096), "no recording"),
        (b"age-encryption.org/v1\n" + bytes(100), "encrypted"),
        (MAGIC, "ends within its header"),
        (MAGIC + struct.pack("<HI", 7, 5), f"format version 7; this nodewarden reads version {VERSION}"),
        (MAGIC + struct.pack("<HI", VERSION, 1 << 30), "header is damaged"),
        (encode_header(_HEADER)[:-1], "ends within its header"),
        (encode_header(_HEADER)[:-1] + b"\x00", "header is damaged"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(data: bytes, why: str) -> None:
    """Empty, foreign, of another version, cut, or damaged: each is named."""
    with pytest.raises(RecordingError, match=why):
        read_header(io.BytesIO(data))


def _frame_of(compressed: bytes, raw_bytes: int, inputs: int = 1) -> bytes:
    head = struct.pack("<HIIIIdd", 0, len(compressed), raw_bytes, inputs, 0, 1.0, 1.0)
    checksums = struct.pack("<I", zlib.crc32(head)) + struct.pack("<I", zlib.crc32(compressed))
    return b"\xf7NWf" + head + checksums + compressed


def test_a_bomb_is_not_inflated() -> None:
    """A frame that says another size than its content has, or a size beyond any frame, costs no memory."""
    bomb = zstandard.ZstdCompressor().compress(bytes(MAX_RAW_BYTES * 4))
    small, large = (_frame_of(bomb, size) for size in (100, MAX_RAW_BYTES * 4))
    (frame,) = [one for one in _read(encode_header(_HEADER) + small + large) if isinstance(one, Frame)]
    with pytest.raises(RecordingError, match="another size"):
        frame.rows()


@pytest.mark.parametrize("raw", [b"\xdd\xff\xff\xff\xff", b"\xc1", b"\x91" * 5000, b"\x92\x01\x02"])
def test_content_that_is_no_list_of_inputs_is_refused(raw: bytes) -> None:
    """A sound checksum says nothing about the content: anybody can make one."""
    data = encode_header(_HEADER) + _frame_of(zstandard.ZstdCompressor().compress(raw), len(raw))
    (frame,) = [one for one in _read(data) if isinstance(one, Frame)]
    with pytest.raises(RecordingError):
        frame.rows()
