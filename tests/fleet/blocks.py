"""Makes of a Prometheus block with one node one with many: the same chunks of samples, series for each node.

Writing 700,000 series sample by sample would take half an hour. A block's index says which chunks belong to a series,
so only the index is written anew: https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/index.md
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"\xba\xaa\xd7\x00\x02"
_ALIGNMENT = 16
_TOC_BYTES = 6 * 8 + 4

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Series:
    """Labels in order, and which chunks it has, as the index writes that."""

    labels: Labels
    chunks: bytes


def multiply(block: Path, label: str, names: Sequence[str]) -> int:
    """Have each series of a block once for each value of a label; returns how many there are then. OSError."""
    path = block / "index"
    many = sorted(
        (
            Series(tuple((key, name if key == label else value) for key, value in one.labels), one.chunks)
            for one in _read(path.read_bytes())
            for name in names
        ),
        key=lambda one: one.labels,
    )
    path.write_bytes(_index(many))
    return len(many)


def _read(index: bytes) -> list[Series]:
    toc = struct.unpack(">6Q", index[-_TOC_BYTES:-4])
    symbols = list(_symbols(index, toc[0]))
    found = []
    at, end = toc[1], toc[2] or toc[4]
    while at < end:
        at += -at % _ALIGNMENT
        length, start = _uvarint(index, at)
        if not length or start + length > end:
            break
        count, at = _uvarint(index, start)
        labels = []
        for _ in range(count):
            key, at = _uvarint(index, at)
            value, at = _uvarint(index, at)
            labels.append((symbols[key], symbols[value]))
        found.append(Series(tuple(labels), index[at : start + length]))
        at = start + length + 4
    return found


def _symbols(index: bytes, at: int) -> Iterator[str]:
    (count,) = struct.unpack(">I", index[at + 4 : at + 8])
    at += 8
    for _ in range(count):
        length, at = _uvarint(index, at)
        yield index[at : at + length].decode()
        at += length


def _index(series: Sequence[Series]) -> bytes:
    symbols = sorted({text for one in series for pair in one.labels for text in pair} | {""})
    numbers = {text: _varint(number) for number, text in enumerate(symbols)}
    index = bytearray(_MAGIC)
    symbols_at = len(index)
    index += _section(struct.pack(">I", len(symbols)) + b"".join(_text(text) for text in symbols))
    index += b"\0" * (-len(index) % _ALIGNMENT)
    series_at = len(index)
    postings: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for one in series:
        index += b"\0" * (-len(index) % _ALIGNMENT)
        number = len(index) // _ALIGNMENT
        for pair in (("", ""), *one.labels):
            postings[pair].append(number)
        labels = b"".join(numbers[key] + numbers[value] for key, value in one.labels)
        body = _varint(len(one.labels)) + labels + one.chunks
        index += _varint(len(body)) + body + _checksum(body)
    table = bytearray(struct.pack(">I", len(postings)))
    postings_at = len(index)
    for (key, value), found in sorted(postings.items()):
        index += b"\0" * (-len(index) % 4)
        table += b"\2" + _text(key) + _text(value) + _varint(len(index))
        index += _section(struct.pack(f">{len(found) + 1}I", len(found), *found))
    tables = len(index)
    index += _section(bytes(table))
    # Symbols, series, indices of labels and their table (which nothing reads any more), postings, table of postings.
    toc = struct.pack(">6Q", symbols_at, series_at, postings_at, 0, postings_at, tables)
    return bytes(index + toc + _checksum(toc))


def _section(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body + _checksum(body)


def _text(text: str) -> bytes:
    return _varint(len(text.encode())) + text.encode()


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))


def _uvarint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where what follows starts."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1


def _crc_table() -> Iterator[int]:
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_TABLE = tuple(_crc_table())
"""CRC-32C (Castagnoli), which Python does not have."""


def _checksum(data: bytes) -> bytes:
    value, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return struct.pack(">I", value ^ 0xFFFFFFFF)
