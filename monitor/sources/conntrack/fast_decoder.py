"""Decoder of ctnetlink datagrams at flood rates: one walk of `format` for each layout, then fixed offsets.

The kernel writes attributes in a stable order with stable lengths. All bytes by which the walk decides (the headers of
message and attributes) are remembered as one number and a mask; a message that equals them is walked alike, whatever
else it holds, so its fields are at the same offsets. One comparison of two numbers proves that for each message.
"""

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from monitor.model.errors import MalformedRecord
from monitor.model.flows import Flow
from monitor.model.protocols import ESTABLISHED_STATES, TCP_CLOSE
from monitor.sources.conntrack.format import (
    DEFAULTS,
    DELETE,
    FIELDS,
    HEADER_BYTES,
    NEW,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    Walked,
    read,
    update_kind,
    walk,
)

_MAX_LAYOUTS = 256
_MAX_LAYOUTS_A_KEY = 8
_MAX_LAYOUT_BYTES = 1024
_MIN_MESSAGE_BYTES = 16
_KEY_BYTES = 8  # of the header: length, type and flags
_header = struct.Struct("=IHH").unpack_from
_errno = struct.Struct("=i").unpack_from

_LAST_WITHOUT_DEFAULT = FIELDS.index("translated_source_port")
_WANTED = frozenset(
    (TCP_CLOSE, *(state for states in ESTABLISHED_STATES.values() for state in states))
)  # of any protocol: only a first check
_FILL = (None, 0)  # every field that a message lacks is one of these

Values: TypeAlias = tuple[Any, ...]
Pick: TypeAlias = Callable[[Values], Values]
Make: TypeAlias = Callable[..., Flow]
Layout: TypeAlias = tuple[int, int, int, int, Callable[[bytes], Values], Pick | None, Make | None]
"""Length in bytes, mask, pattern, offset of the state (0: none); what reads the fields in the order of their offsets,
what puts them into the event's order (None: they are in it), and the event's class (None: an update)."""


class Decoded(msgspec.Struct, gc=False):
    """What a batch of datagrams held."""

    events: list[Flow]
    malformed: int = 0
    """Messages that could not be understood; where a length is wrong, the rest of its datagram counts as one."""
    skipped: int = 0
    """Messages decoded but not used: updates that show neither handshake nor reset, other subsystems."""
    is_done: bool = False
    """A dump came to its end (NLMSG_DONE)."""
    is_interrupted: bool = False
    """The table changed under a dump (NLM_F_DUMP_INTR), so entries may be missing from it."""
    is_overrun: bool = False
    """The kernel says it lost messages (NLMSG_OVERRUN)."""
    errno: int = 0
    """Of the last NLMSG_ERROR that was no acknowledgement, or of a dump that failed."""


class FlowDecoder:
    """Decodes datagrams; remembers the layouts that it has seen, at most 256 of them. Never raises on any bytes."""

    def __init__(self) -> None:
        """Start without layouts; they are learned from messages."""
        self._layouts: dict[bytes, tuple[Layout, ...]] = {}
        self._count = 0

    def decode(self, datagrams: Sequence[bytes], time_s: float, namespace: int | None = None) -> Decoded:
        """Decode datagrams as received, in order; `time_s` (wall time) and `namespace` go into every event."""
        decoded = Decoded([])
        self._decode(datagrams, (time_s, namespace), decoded)
        return decoded

    def _decode(self, messages: Sequence[bytes], head: tuple[float, int | None], decoded: Decoded) -> None:
        find, number_of, put = self._layouts.get, int.from_bytes, decoded.events.append
        kind: Make | None
        skipped = 0
        for message in messages:
            number = None
            for size, mask, pattern, state_at, unpack, pick, make in find(message[:_KEY_BYTES], ()):
                if number is None:
                    number = number_of(message, "little")
                if number & mask == pattern and len(message) == size:
                    if make is None and message[state_at] not in _WANTED:
                        skipped += 1
                        break
                    values = unpack(message)
                    if pick is not None:
                        values = pick(values + _FILL)
                    if make is not None:
                        put(make(*(head + values)))
                    elif (kind := update_kind(values[2], values[10], values[11])) is not None:
                        put(kind(*(head + values)))
                    else:
                        skipped += 1
                    break
            else:
                self._decode_other(message, head, decoded)
        decoded.skipped += skipped

    def _decode_other(self, datagram: bytes, head: tuple[float, int | None], decoded: Decoded) -> None:
        """Decode what no layout fits: several messages, a new layout, another subsystem, anything hostile."""
        if len(datagram) < _MIN_MESSAGE_BYTES:
            decoded.malformed += 1
            return
        length, kind, flags = _header(datagram)
        if length != len(datagram):
            self._decode(_split(datagram, decoded), head, decoded)
            return
        if flags & NLM_F_DUMP_INTR:
            decoded.is_interrupted = True
        if kind not in (NEW, DELETE):
            _decode_control(datagram, kind, decoded)
            return
        try:
            walked = walk(datagram)
        except MalformedRecord:
            decoded.malformed += 1
            return
        event = read(datagram, walked, *head)
        if event is None:
            decoded.skipped += 1
        else:
            decoded.events.append(event)
        if length <= _MAX_LAYOUT_BYTES and not flags & NLM_F_DUMP_INTR:
            self._learn(datagram, walked)

    def _learn(self, message: bytes, walked: Walked) -> None:
        if self._count >= _MAX_LAYOUTS:
            self._layouts.clear()
            self._count = 0
        key = message[:_KEY_BYTES]
        others = self._layouts.get(key, ())[: _MAX_LAYOUTS_A_KEY - 1]
        self._layouts[key] = (*others, compile_layout(message, walked))
        self._count += 1


def compile_layout(message: bytes, walked: Walked) -> Layout:
    """Make the layout of all messages that are walked as this one was."""
    size = len(message)
    mask_bytes = bytearray(size)
    for offset, length in walked.headers:
        mask_bytes[offset : offset + length] = b"\xff" * length
    mask = int.from_bytes(mask_bytes, "little")
    form, position = ">", 0
    names = sorted(walked.fields, key=lambda name: walked.fields[name][0])
    for name in names:
        offset, field_form = walked.fields[name]
        form += f"{offset - position}x{field_form}"
        position = offset + struct.calcsize(f">{field_form}")
    return (
        size,
        mask,
        int.from_bytes(message, "little") & mask,
        walked.fields.get("state", (0, ""))[0],
        struct.Struct(form).unpack_from,
        _pick(tuple(names), needs_state=walked.kind is None),
        walked.kind,
    )


def _pick(names: tuple[str, ...], *, needs_state: bool) -> Pick | None:
    """Return what puts values of these names and _FILL behind them in the event's order; None if they already are."""
    last = max(*map(FIELDS.index, names), FIELDS.index("state") if needs_state else _LAST_WITHOUT_DEFAULT)
    wanted = FIELDS[: last + 1]
    if names == wanted:
        return None
    fill = {name: len(names) + _FILL.index(default) for name, default in zip(FIELDS, DEFAULTS, strict=True)}
    return itemgetter(*(names.index(name) if name in names else fill[name] for name in wanted))


def _split(datagram: bytes, decoded: Decoded) -> list[bytes]:
    """Cut a datagram into messages, each as long as its header says."""
    messages, offset, size = [], 0, len(datagram)
    while offset < size:
        length = _header(datagram, offset)[0] if size - offset >= _MIN_MESSAGE_BYTES else 0
        if length < _MIN_MESSAGE_BYTES or length > size - offset:
            decoded.malformed += 1
            break
        messages.append(datagram[offset : offset + length])
        offset += length + 3 & ~3
    return messages


def _decode_control(message: bytes, kind: int, decoded: Decoded) -> None:
    """Note what a message says that is not about a connection."""
    if kind == NLMSG_OVERRUN:
        decoded.is_overrun = True
    elif kind in (NLMSG_ERROR, NLMSG_DONE):
        if len(message) < HEADER_BYTES + 4:
            decoded.malformed += 1
            return
        decoded.is_done = decoded.is_done or kind == NLMSG_DONE
        decoded.errno = -_errno(message, HEADER_BYTES)[0] or decoded.errno
    else:
        decoded.skipped += 1
