"""Frames of a capture: pcap and pcapng, in either byte order, with times in micro- or nanoseconds. Bounded.

pcap: draft-ietf-opsawg-pcap; pcapng: draft-ietf-opsawg-pcapng. A length that cannot be ends the file there.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import FileReport

_MAX_FRAME_BYTES = 262_144
"""tcpdump's largest snapshot length (MAXIMUM_SNAPLEN)."""
_MAX_BLOCK_BYTES = 16 << 20
_MAX_INTERFACES = 4096
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_WANTED = (_INTERFACE, _PACKET, _SIMPLE, _ENHANCED)
_SECTION_BYTES = struct.pack("<I", _SECTION)
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_CUT = "it ends in the middle of a packet: what came before counts"
_DAMAGED = "it is damaged after packet %d: what came before counts"
_UNTIMED = "packets without a time (simple packet blocks)"
_NO_INTERFACE = "packets of an interface that the file does not describe"


class Frame(NamedTuple):
    """A packet as it was captured; `data` may be cut (snapshot length)."""

    time_s: float
    link_type: int
    data: bytes


class _Interface(NamedTuple):
    link_type: int
    unit_s: float
    offset_s: int


def is_capture(head: bytes) -> bool:
    """Whether a file starts as a capture."""
    return head[:4] in _PCAP or (head[:4] == _SECTION_BYTES and head[8:12] in _ORDERS)


def read_frames(content: Content, report: FileReport) -> Iterator[Frame]:
    """Yield the frames up to the end, or to where the file is damaged."""
    magic = content.head[:4]
    frames = _of_pcap(content, report) if magic in _PCAP else _of_pcapng(content, report)
    for frame in frames:
        report.records += 1
        yield frame


def _of_pcap(content: Content, report: FileReport) -> Iterator[Frame]:
    header = content.read(24)
    order, unit_s = _PCAP[header[:4]]
    if len(header) < 24:
        report.note("it ends within its header")
        return
    link_type = struct.unpack_from(f"{order}I", header, 20)[0] & 0xFFFF  # the upper bits are about checksums
    unpack: Callable[[bytes], tuple[int, ...]] = struct.Struct(f"{order}IIII").unpack
    while len(head := content.read(16)) == 16:
        seconds, fraction, size, _ = unpack(head)
        if size > _MAX_FRAME_BYTES:
            report.note(_DAMAGED % report.records)
            return
        data = content.read(size)
        if len(data) < size:
            report.note(_CUT)
            return
        yield Frame(seconds + fraction * unit_s, link_type, data)
    if head:
        report.note(_CUT)


def _of_pcapng(content: Content, report: FileReport) -> Iterator[Frame]:
    interfaces: list[_Interface] = []
    for order, kind, body in _blocks(content, report):
        if kind == _SECTION:
            interfaces = []
        elif kind == _INTERFACE:
            if len(interfaces) < _MAX_INTERFACES:
                interfaces.append(_interface(order, body))
        elif kind == _SIMPLE:
            report.leave_out(_UNTIMED)
        elif frame := _frame(order, kind, body, interfaces, report):
            yield frame


def _blocks(content: Content, report: FileReport) -> Iterator[tuple[str, int, bytes]]:
    """Yield byte order, kind and body (with the length at its end) of blocks that matter; the others are skipped."""
    order = "<"
    while head := content.read(8):
        is_section = head[:4] == _SECTION_BYTES
        if is_section:
            mark = content.read(4)
            order = _ORDERS.get(mark, "")
            head += mark
        if len(head) < 8 or not order:
            report.note(_DAMAGED % report.records if is_section else _CUT)
            return
        kind, length = struct.unpack_from(f"{order}II", head)
        left = length - len(head)
        if length % 4 or left < 4 or length > _MAX_BLOCK_BYTES:
            report.note(_DAMAGED % report.records)
            return
        is_wanted = kind in _WANTED
        body = content.read(left) if is_wanted else b""
        if len(body) < left if is_wanted else not content.skip(left):
            report.note(_CUT)
            return
        if is_wanted or is_section:
            yield order, kind, body


def _interface(order: str, body: bytes) -> _Interface:
    """Read the description of an interface; a broken option is as none."""
    if len(body) < 12:
        return _Interface(-1, 1e-6, 0)
    link_type = struct.unpack_from(f"{order}H", body)[0]
    unit_s, offset_s, position = 1e-6, 0, 8
    while position + 4 <= len(body) - 4:
        code, size = struct.unpack_from(f"{order}HH", body, position)
        value = body[position + 4 : position + 4 + size]
        if code == 0 or len(value) < size:
            break
        if code == 9 and size == 1:  # if_tsresol
            unit_s = 2.0 ** -(value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** -value[0]
        elif code == 14 and size == 8:  # if_tsoffset
            offset_s = struct.unpack(f"{order}q", value)[0]
        position += 4 + size + (-size % 4)
    return _Interface(link_type, unit_s, offset_s)


def _frame(order: str, kind: int, body: bytes, interfaces: list[_Interface], report: FileReport) -> Frame | None:
    """Return the packet of a block; None if it has no interface or an impossible length."""
    if len(body) < 24:
        report.leave_out("malformed")
        return None
    if kind == _ENHANCED:
        number, high, low, size, _ = struct.unpack_from(f"{order}IIIII", body)
    else:
        number, _, high, low, size, _ = struct.unpack_from(f"{order}HHIIII", body)
    if number >= len(interfaces):
        report.leave_out(_NO_INTERFACE)
        return None
    if size > len(body) - 24 or size > _MAX_FRAME_BYTES:
        report.leave_out("malformed")
        return None
    link_type, unit_s, offset_s = interfaces[number]
    return Frame((high << 32 | low) * unit_s + offset_s, link_type, body[20 : 20 + size])
