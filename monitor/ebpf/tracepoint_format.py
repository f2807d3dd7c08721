"""Parses the format file of a tracepoint in tracefs (Documentation/trace/events.rst). Pure."""

import re

import msgspec

from monitor.ebpf.reasons import Reasons, arrange
from monitor.model.errors import PermanentError

_FIELD = re.compile(r"^\s*field:[^;]*?\b(\w+)(?:\[\d*\])?;\s*offset:(\d+);\s*size:(\d+);", re.MULTILINE)
_SYMBOL = re.compile(r'\{\s*(\d+)\s*,\s*"(\w+)"\s*\}')
_SIZES_BYTES = {"protocol": 2, "reason": 4}
_MAX_REASONS = 4096


class DropFormat(msgspec.Struct, frozen=True):
    """The offsets of the fields of skb:kfree_skb in bytes, and the names of its reasons."""

    reason_at: int
    protocol_at: int
    reasons: Reasons


def read_drop_format(text: str) -> DropFormat:
    """Parse the format; PermanentError says what the tracepoint of this kernel lacks."""
    fields = {name: (int(offset), int(size)) for name, offset, size in _FIELD.findall(text)}
    for name, size_bytes in _SIZES_BYTES.items():
        if fields.get(name, (0, 0))[1] != size_bytes:
            raise PermanentError(f"this kernel's tracepoint kfree_skb has no {name} of {size_bytes} bytes")
    symbols = {int(number): name for number, name in _SYMBOL.findall(text) if int(number) < _MAX_REASONS}
    if not symbols:
        raise PermanentError("this kernel's tracepoint kfree_skb does not name its reasons")
    return DropFormat(fields["reason"][0], fields["protocol"][0], arrange(symbols, {}))
