"""Splits what the kernel answers over netlink(7): messages, attributes, and the status that ends an answer.

Pure. Data that no kernel sends raise MalformedRecord.
"""

import os
import struct
import sys
from collections.abc import Iterator

from monitor.model.errors import MalformedRecord

# linux/netlink.h
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE_TYPE_MASK = 0x3FFF


def pack_request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return a request to the kernel; `flags` are in addition to REQUEST."""
    return _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, sequence, 0) + body


def split_messages(data: bytes, offset: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, sequence, start and end of the payload of each netlink message (RFC 3549 section 2.3.2)."""
    size = len(data)
    while offset < size:
        if size - offset < 16:
            raise MalformedRecord("netlink", "a message header is truncated")
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16 or length > size - offset:
            raise MalformedRecord("netlink", f"a message of {length} bytes where {size - offset} are left")
        yield kind, sequence, offset + 16, offset + length
        offset += (length + 3) & ~3


def split_attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of a payload by type; if a type occurs twice the last one counts."""
    found = {}
    offset, size = 0, len(data)
    while size - offset >= 4:  # the kernel may pad the end
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or length > size - offset:
            raise MalformedRecord("netlink", f"an attribute of {length} bytes where {size - offset} are left")
        found[kind & _ATTRIBUTE_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def check_status(payload: bytes) -> None:
    """Raise the error that ends an answer, if there is one (nlmsgerr, or the status of a dump), as OSError."""
    if len(payload) >= 4 and (number := -int.from_bytes(payload[:4], sys.byteorder, signed=True)):
        raise OSError(number, os.strerror(number))
