"""Recordings that somebody made up: little memory is taken for them, and what they lack is said."""

import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from monitor.recording import segments
from monitor.recording.bounds import RecordingError, check_row
from monitor.recording.exchange import export, named, store
from monitor.recording.inputs import Ticked
from monitor.recording.reader import Recording
from monitor.recording.segments import Damage, Frame, Header, encode_header, frames, read_header
from monitor.recording.summary import summarize
from tests.support.recordings import START_S

_HEADER = encode_header(Header("n", "1", START_S))
_LARGE = 32 << 20
_MOST_BYTES = 4 * _LARGE
_pack = msgspec.msgpack.encode


def _frame(raw: bytes, inputs: int, *, size: int | None = None, data: bytes | None = None) -> bytes:
    """Return a frame whose checksums are right, whatever it holds; `size`: what it claims to be long."""
    data = zstandard.ZstdCompressor(level=1).compress(raw) if data is None else data
    head = segments._HEAD.pack(0, len(data) if size is None else size, len(raw), inputs, 0, START_S, START_S)
    return segments._MARKER + head + segments._checksum(head) + segments._checksum(data) + data


def _array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4)


def _noise(size: int) -> bytes:
    """Return what cannot be compressed, so that the ratio betrays nothing."""
    return _pack(os.urandom(size))


_BLOWN_UP: dict[str, Callable[[], tuple[bytes, int]]] = {
    "nils": lambda: (_array(_LARGE) + b"\xc0" * _LARGE, _LARGE),
    "nils with noise": lambda: (_array(_LARGE) + b"\xc0" * (_LARGE - 1) + _noise(_LARGE >> 9), _LARGE),
    "another count": lambda: (_array(_LARGE) + b"\xc0" * (_LARGE - 1) + _noise(_LARGE >> 9), 1),
    "a deep one": lambda: (_array(1) + b"\x91" * _LARGE + _noise(_LARGE >> 9), 1),
    "a wide document": lambda: (
        _array(1)
        + b"\x94"
        + b"".join(map(_pack, ("configured", START_S)))
        + b"\x81\xa1a"
        + _array(_LARGE)
        + b"\x90" * (_LARGE - 1)
        + _noise(_LARGE >> 9)
        + _pack("digest"),
        1,
    ),
    "many numbers": lambda: (
        _array(1)
        + b"\x93"
        + b"".join(map(_pack, ("drew", START_S)))
        + _array(_LARGE)
        + b"\x00" * (_LARGE - 1)
        + _noise(_LARGE >> 9),
        1,
    ),
}


@pytest.mark.parametrize("kind", sorted(_BLOWN_UP))
def test_a_few_bytes_do_not_fill_the_memory(kind: str, tmp_path: Path) -> None:
    """What unpacks to a hundred times its size is refused before it does; it holds nothing, and that is said."""
    path = tmp_path / "x.recording"
    path.write_bytes(_HEADER + _frame(*_BLOWN_UP[kind]()))
    tracemalloc.start()
    try:
        found = summarize(Recording(path))
    except RecordingError as error:
        assert "what is left of it cannot be read" in str(error)
    else:
        assert found.inputs == 0
        assert found.gaps_total > 0
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < _MOST_BYTES
    with pytest.raises(RecordingError, match=r"holds nothing|what is left of it cannot be read"):
        store(path, tmp_path / "recording", "x")
    assert not (tmp_path / "recording").exists()


def test_a_frame_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    """The file may be sparse, so that it has them."""
    path = tmp_path / "x.recording"
    with path.open("wb") as file:
        file.write(_HEADER + _frame(bytes(100), 1, size=1 << 30, data=b""))
        file.truncate(2 << 30)
    tracemalloc.start()
    with path.open("rb") as file:
        read_header(file)
        first = next(frames(_Cut(file, 1 << 21)))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(first, Damage)
    assert peak_bytes < 16 << 20


class _Cut(io.BytesIO):
    """The first bytes of a file that says to be longer: its holes need not be searched here."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        place = file.tell()
        file.seek(0)
        super().__init__(file.read(size))
        super().seek(place)
        self._length = 2 << 30

    def seek(self, offset: int, whence: int = 0) -> int:
        """Say that it is longer."""
        if whence == io.SEEK_END:
            return self._length
        return super().seek(offset, whence)


class _Counted(io.BytesIO):
    """Counts what is read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        """Count."""
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def test_damaged_frames_that_claim_all_that_follows_are_not_read_again_and_again() -> None:
    """Each head is sound, and each claims the megabyte behind it: the file is read a few times, not a thousand."""
    lying = _frame(bytes(100), 1, size=1 << 20, data=b"")
    sound = _frame(_array(1) + _pack(["ticked", START_S]), 1)
    file = _Counted(_HEADER + lying * 1000 + bytes(1 << 20) + sound)
    read_header(file)
    found = list(frames(file))
    assert file.bytes_read < 8 * len(file.getvalue())
    assert isinstance(found[-1], Frame)


def test_lost_bytes_cost_the_frame_that_lacks_them() -> None:
    """What follows lies within the size that the damaged one claims, and is found."""
    one = _frame(_array(1) + _pack(["ticked", START_S]), 1)
    file = io.BytesIO(_HEADER + one + one[:-5] + one + one)
    read_header(file)
    assert [type(found) for found in frames(file)] == [Frame, Damage, Frame, Frame]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return an exported file of a few seconds."""
    path = tmp_path / "whole.recording"
    with path.open("wb") as file:
        export([Ticked(START_S + second) for second in range(5)], file, Header("n", "1", START_S))
    return path


def test_a_cut_file_is_said_to_be_cut_wherever_it_was(whole: Path, tmp_path: Path) -> None:
    """Each prefix of an exported file is refused, or its missing end is a gap; none passes for the whole."""
    content = whole.read_bytes()
    assert summarize(Recording(whole)).gaps_total == 0
    path = tmp_path / "cut"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            assert summarize(Recording(path)).gaps_total == 1, size
        except RecordingError as error:
            assert size < len(_HEADER) or "what is left of it cannot be read" in str(error), (size, error)


def test_a_flipped_bit_is_said_wherever_it_is(whole: Path, tmp_path: Path) -> None:
    """It is refused or a gap: nothing is read otherwise than it was written."""
    content = whole.read_bytes()
    path = tmp_path / "flipped"
    for place in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = summarize(Recording(path))
        except RecordingError:
            continue
        assert found.gaps_total > 0, place


@pytest.mark.parametrize("tag", ["ticked", "drew", "flood", "refused"])
def test_an_input_that_is_longer_than_any_is_refused(tag: str) -> None:
    """Only what carries bans, history or events may be long."""
    check_row(msgspec.Raw(_pack([tag, START_S, bytes(1 << 20)])))
    check_row(msgspec.Raw(_pack(["restored", START_S, bytes(8 << 20)])))
    with pytest.raises(RecordingError, match="longer than any"):
        check_row(msgspec.Raw(_pack([tag, START_S, bytes(8 << 20)])))


def test_an_import_follows_no_link_of_the_daemon(whole: Path, tmp_path: Path) -> None:
    """The daemon owns the directory; a link that it made must not lead root to write elsewhere."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of somebody else")
    ring, elsewhere = tmp_path / "state" / "recording", tmp_path / "elsewhere"
    for one in (ring, elsewhere):
        one.mkdir(parents=True)
    (ring / "named").symlink_to(elsewhere)
    os.chown(ring / "named", 65534, 65534, follow_symlinks=False)
    with pytest.raises(RecordingError, match="named"):
        store(whole, ring, "x")
    assert not list(elsewhere.iterdir())
    (ring / "named").unlink()
    store(whole, ring, "x")
    assert named(ring, "x").read_bytes() == whole.read_bytes()


def test_what_a_killed_import_left_is_in_nobodys_way(whole: Path, tmp_path: Path) -> None:
    """The next one replaces it, and no other file is taken for one of its own."""
    ring = tmp_path / "recording"
    store(whole, ring, "y")
    (ring / "named" / ".x.recording.partial").write_bytes(b"rest")
    store(whole, ring, "x")
    assert sorted(path.name for path in (ring / "named").iterdir()) == ["x.recording", "y.recording"]
