"""Queries and answers of the DNS (RFC 1035), as far as reverse names need them: pure, and safe with any answer.

The system's resolver functions have no time limit, answer one at a time, and accept a name from /etc/hosts or mDNS as
well; here a question goes to a DNS server, and what it answers is bounded.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from monitor.model.addresses import Address
from monitor.model.errors import MalformedRecord

A, CNAME, PTR, AAAA = 1, 5, 12, 28
NO_ERROR, NO_SUCH_NAME = 0, 3
_INTERNET = 1
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_IS_ANSWER, _RECURSION = 0x8000, 0x0100
_MAX_NAME_BYTES, _MAX_LABEL_BYTES = 255, 63
_MOST_RECORDS, _MOST_FOUND = 256, 32
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_MAX_SHOWN = 255


class Answer(NamedTuple):
    """What a server answered: `found` are addresses, or names in wire format, of the type that was asked for."""

    code: int
    found: list[bytes]


def reverse_name(address: Address) -> bytes:
    """Return the name that a PTR record of an address has, in wire format (RFC 1035 section 3.5, RFC 3596)."""
    if len(address) == 4:
        labels = [str(byte) for byte in reversed(address)] + ["in-addr", "arpa"]
    else:
        labels = [*reversed(address.hex()), "ip6", "arpa"]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def query(number: int, name: bytes, kind: int) -> bytes:
    """Return the question for records of a kind, as a packet with a 16-bit number."""
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 0) + name + struct.pack("!HH", kind, _INTERNET)


def answer(packet: bytes, number: int, name: bytes, kind: int) -> Answer:
    """Read the answer to `query`; MalformedRecord for a packet that is none. Aliases (RFC 2317) are followed.

    Of an answer that was cut (TC) the records are used that are there.
    """
    try:
        return _answer(packet, number, name, kind)
    except (struct.error, IndexError):
        raise MalformedRecord("the packet ends within a record") from None


def _answer(packet: bytes, number: int, name: bytes, kind: int) -> Answer:
    got, flags, questions, answers, _, _ = _HEADER.unpack_from(packet)
    if got != number or not flags & _IS_ANSWER or questions != 1:
        raise MalformedRecord("no answer to this question")
    asked, offset = _name(packet, _HEADER.size)
    if asked.lower() != name.lower() or struct.unpack_from("!HH", packet, offset) != (kind, _INTERNET):
        raise MalformedRecord("an answer to another question")
    owner = name.lower()
    found: list[bytes] = []
    for record_owner, record_kind, start, end in _records(packet, offset + 4, min(answers, _MOST_RECORDS)):
        if record_owner.lower() != owner:
            continue
        if record_kind == CNAME:
            owner = _name(packet, start)[0].lower()
        elif record_kind == kind and len(found) < _MOST_FOUND:
            found.append(_name(packet, start)[0] if kind == PTR else packet[start:end])
    return Answer(flags & 0xF, found)


def _records(packet: bytes, offset: int, count: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield owner, kind, start and end of the data of each record of the Internet class."""
    for _ in range(count):
        owner, offset = _name(packet, offset)
        kind, record_class, _, length = _RECORD.unpack_from(packet, offset)
        start = offset + _RECORD.size
        offset = start + length
        if offset > len(packet):
            raise MalformedRecord("a record is longer than the packet")
        if record_class == _INTERNET:
            yield owner, kind, start, offset


def _name(packet: bytes, offset: int) -> tuple[bytes, int]:
    """Return a name without compression, and the offset behind it. Pointers only lead back, so this ends."""
    labels, size = bytearray(), 0
    after = None
    limit = offset
    while (length := packet[offset]) != 0:
        if length <= _MAX_LABEL_BYTES:
            size += length + 1
            labels += packet[offset : offset + length + 1]
            offset += length + 1
        elif length >= 0xC0:
            after = offset + 2 if after is None else after
            offset = struct.unpack_from("!H", packet, offset)[0] & 0x3FFF
            if offset >= limit:
                raise MalformedRecord("a name points forward")
            limit = offset
        else:
            raise MalformedRecord("a label of an unknown kind")
        if size >= _MAX_NAME_BYTES:
            raise MalformedRecord("a name is too long")
    return bytes(labels) + b"\0", offset + 1 if after is None else after


def as_text(name: bytes) -> str:
    r"""Write a name in ASCII: any other character than letters, digits, `-` and `_` as `\DDD` (RFC 1035 section 5.1).

    At most 255 characters, then `…`.
    """
    labels = []
    offset = 0
    while offset < len(name) and (length := name[offset]):
        label = name[offset + 1 : offset + 1 + length]
        labels.append("".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in label))
        offset += length + 1
    text = ".".join(labels) or "."
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
