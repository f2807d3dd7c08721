"""Decodes addresses and timeouts in a listing of a set, ten times faster than decoding each element fully."""

import struct
from typing import NamedTuple

from monitor.enforcers.netlink import attributes
from monitor.model.addresses import Address
from monitor.model.errors import MalformedRecord

_ATTRIBUTE = struct.Struct("=HH")
_BE64 = struct.Struct(">Q")
_ELEMENTS = 3  # NFTA_SET_ELEM_LIST_ELEMENTS, linux/netfilter/nf_tables.h
_KEY, _EXPIRATION = 1, 5  # NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_EXPIRATION


class _Shape(NamedTuple):
    """The offsets of key and timeout in an element, and the bytes that must precede them for the offsets to apply."""

    size: int
    key_at: int
    key_size: int
    before_key: bytes
    end_at: int
    before_end: bytes


def decode_ends(body: bytes, out: dict[Address, int | None]) -> None:
    """Add key and remaining milliseconds (None: it has no timeout) of each element of an NFT_MSG_NEWSETELEM body.

    The elements of a set usually have the same layout, so the offsets found in one are tried first on the next.
    MalformedRecord("netlink") if the body is not one.
    """
    for kind, listed in attributes(body, 4):
        if kind == _ELEMENTS:
            _decode_list(listed, out)


def _decode_list(listed: bytes, out: dict[Address, int | None]) -> None:
    offset, size = 0, len(listed)
    shape = _Shape(0, 0, 0, b"?", 0, b"")
    while offset < size:
        if (
            listed[offset : offset + shape.key_at] != shape.before_key
            or listed[offset + shape.end_at - len(shape.before_end) : offset + shape.end_at] != shape.before_end
        ):
            shape = _shape_of(listed, offset)
        if offset + shape.size > size + 3:  # the last one may lack its padding
            raise MalformedRecord("netlink", "an element beyond the end of its list")
        key_at = offset + shape.key_at
        end = _BE64.unpack_from(listed, offset + shape.end_at)[0] if shape.end_at else None
        out[listed[key_at : key_at + shape.key_size]] = end
        offset += shape.size


def _shape_of(listed: bytes, offset: int) -> _Shape:
    """Find key and timeout of the element at an offset."""
    if offset + 4 > len(listed):
        raise MalformedRecord("netlink", "an element without a header")
    length, _ = _ATTRIBUTE.unpack_from(listed, offset)
    if length < 4 or offset + length > len(listed):
        raise MalformedRecord("netlink", f"an element of {length} bytes in {len(listed) - offset}")
    at = offset + 4
    key_at = key_size = end_at = 0
    for kind, payload in attributes(listed[offset + 4 : offset + length]):
        if kind == _KEY:
            key_at, key_size = at + 8 - offset, len(payload) - 4  # after the headers of the key and of its value
        elif kind == _EXPIRATION and len(payload) == _BE64.size:
            end_at = at + 4 - offset
        at += 4 + ((len(payload) + 3) & ~3)
    if key_size not in (4, 12, 16, 24):  # an address, or one with protocol and port
        raise MalformedRecord("netlink", f"an element with a key of {key_size} bytes")
    before_end = listed[offset + end_at - 4 : offset + end_at] if end_at else b""
    return _Shape((length + 3) & ~3, key_at, key_size, listed[offset : offset + key_at], end_at, before_end)
