"""Files that took a detour: packed in parts, cut, from another system, with holes: what is there is found, or said."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.daemon.replay.foreign import conntrack_xml
from monitor.daemon.replay.foreign.file_report import UnusableFileError
from monitor.daemon.replay.foreign.packets import MALFORMED, Packet, read_packet
from tests.unit.foreign.support import read

_LINES = [
    f"Nov 20 10:00:{second:02d} host sshd[12]: Failed password for root from 198.51.100.7 port {1000 + second} ssh2\n"
    for second in range(8)
]
_LOG = "".join(_LINES).encode()
_HALF = "".join(_LINES[:4]).encode()
_REST = "".join(_LINES[4:]).encode()
_PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}


def _found(path: Path, content: bytes) -> tuple[int, list[str]]:
    report = read(path, content, named=["sshd"]).report
    return report.events, [note for note in report.notes if "damaged" in note]


@pytest.mark.parametrize("kind", _PACK)
def test_packed_files_that_were_joined_are_read_to_the_end(tmp_path: Path, kind: str) -> None:
    """`cat a.xz b.xz`, also with zeros between them; what is no stream is said, and what came before counts."""
    pack, path = _PACK[kind], tmp_path / f"auth.log.{kind}"
    assert _found(path, pack(_HALF) + pack(_REST)) == (8, [])
    assert _found(path, pack(_HALF) + bytes(512) + pack(b"") + pack(_REST) + bytes(512)) == (8, [])
    events, notes = _found(path, pack(_HALF) + b"garbage")
    assert (events, len(notes)) == (4, 1)


@pytest.mark.parametrize("kind", _PACK)
def test_of_a_packed_file_that_was_cut_counts_what_is_there(tmp_path: Path, kind: str) -> None:
    """A copy that ended early: the first stream is whole, and nothing of it is lost."""
    pack, path = _PACK[kind], tmp_path / f"auth.log.{kind}"
    events, notes = _found(path, pack(_HALF) + pack(_REST)[:-6])
    assert events >= 4
    assert len(notes) == 1


_DISFIGURED = {
    "CR and LF": _LOG.replace(b"\n", b"\r\n"),
    "CR and LF, no last line end": _LOG.replace(b"\n", b"\r\n")[:-1],
    "a byte order mark": b"\xef\xbb\xbf" + _LOG,
    "a hole before": bytes(4096) + b"\n" + _LOG,
    "a hole within": _HALF + bytes(40_000) + b"\n" + _REST,
}


@pytest.mark.parametrize("name", _DISFIGURED)
def test_a_log_that_went_through_another_system_has_the_same_failures(tmp_path: Path, name: str) -> None:
    """Line ends of Windows, its byte order mark, and what a loss of power leaves of the last blocks."""
    assert _found(tmp_path / "auth.log", _DISFIGURED[name]) == (8, [])


def test_utf_16_is_named(tmp_path: Path) -> None:
    """It is no log without events."""
    with pytest.raises(UnusableFileError, match="UTF-16"):
        _found(tmp_path / "auth.log", _LOG.decode().encode("utf-16"))


def test_an_element_that_begins_again_and_again_is_read_once() -> None:
    """No part of a body is looked at for each direction that begins before it."""

    class Body(bytes):
        partitioned_bytes = 0

        def split(self, *arguments: object) -> list[bytes]:
            return [Part(one) for one in super().split(*arguments)]  # type: ignore[arg-type]

    class Part(bytes):
        def partition(self, separator: bytes) -> tuple[bytes, bytes, bytes]:  # type: ignore[override]
            Body.partitioned_bytes += len(self)
            return super().partition(separator)

    body = Body(b'<meta direction="original">' * 290)
    assert conntrack_xml._values(body) == {}
    assert 0 < Body.partitioned_bytes <= len(body)


@pytest.mark.parametrize(("protocol", "least"), [(6, 20), (17, 8), (1, 8)])
def test_padding_behind_a_packet_is_no_header(protocol: int, least: int) -> None:
    """A frame is at least 60 bytes long; the kernel drops what is too short by its own length."""

    def packet(size: int, fragment: int = 0) -> Packet | str:
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 1, fragment, 64, protocol, 0, b"\1\2\3\4", b"\5\6\7\x08")
        return read_packet(1.0, 101, head + b"\x08" + bytes(39))

    assert packet(20 + least - 1) == MALFORMED
    assert isinstance(packet(20 + least), Packet)
    assert isinstance(packet(0), Packet)  # segmentation offload
    assert isinstance(packet(20 + least - 1, 0x2000), Packet)  # the rest is in the next fragment
