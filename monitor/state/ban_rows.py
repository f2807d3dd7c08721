"""Decodes rows of bans by the thousand, column by column; pure.

A start reads every ban that is in force, and one row after the other costs three times as much. The columns are checked
as a whole; where anything in them is unusual, each row is decoded on its own, so that one bad row costs only itself.
"""

import math
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.model.errors import MalformedRecord
from monitor.state.rows import MODES, ORIGINS, STRENGTHS, Row, check_network, check_ports, read_ban
from monitor.state.tables import TABLES, matches, unchecked

_encode = msgspec.msgpack.Encoder().encode
_TEXTS = tuple(
    column in {"strength", "mode", "detector", "reason", "origin"} for column in (*TABLES["bans"].split(", "), "check")
)
"""Which columns are text."""
_HOSTS = {(4, 32), (16, 128)}
"""Length of address and prefix of single addresses."""
_UNUSUAL = (MalformedRecord, AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What `_read_columns` raises where something is unusual."""
_MAX_SHARED = 4096


class _Shared(dict[bytes, str]):
    """Texts shared by many bans, so that a hundred thousand of them keep each only once in memory."""

    def __missing__(self, raw: bytes) -> str:
        """Decode a text; one that is damaged no longer matches the checksum of its row."""
        if len(self) >= _MAX_SHARED:
            self.clear()
        text = self[raw] = raw.decode("utf-8", "replace")
        return text


_shared = _Shared()


def read_bans(rows: Sequence[Row]) -> tuple[list[Ban], int]:
    """Decode rows of the table `bans`, in which texts are still bytes; return the bans and how many rows are no bans.

    A row is the columns of the table and the checksum.
    """
    try:
        return _read_columns(rows), 0
    except _UNUSUAL:
        return _read_each(rows)


def are_as_written(rows: Sequence[Row]) -> bool:
    """Whether such rows match their checksums."""
    return all(map(matches, map(_with_texts, rows)))


def _read_columns(rows: Sequence[Row]) -> list[Ban]:
    """Decode rows that are all as they should be; otherwise one of _UNUSUAL."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    shared = _shared.__getitem__
    for index, is_text in enumerate(_TEXTS):
        if is_text:
            columns[index] = list(map(shared, columns[index]))
    *content, checks = columns
    if list(map(crc32, map(_encode, zip(*content, strict=True)))) != list(checks):
        raise MalformedRecord("checksum", "a row does not match")
    addresses, lengths, strengths, modes, since_s, until_s, detectors, reasons, origins, ports = content
    _check_columns(addresses, lengths, (*since_s, *until_s), ports)
    return list(
        map(
            Ban,
            map(Network, addresses, lengths, ports),
            map(STRENGTHS.__getitem__, strengths),
            since_s,
            until_s,
            detectors,
            reasons,
            map(MODES.__getitem__, modes),
            map(ORIGINS.__getitem__, origins),
        )
    )


def _check_columns(
    addresses: Sequence[Any], lengths: Sequence[Any], times_s: Sequence[Any], ports: Sequence[Any]
) -> None:
    """Raise MalformedRecord unless addresses, lengths, times and ports are valid; other errors for other types."""
    sizes = list(map(len, addresses))
    if not set(zip(sizes, lengths, strict=True)) <= _HOSTS:
        for size, address, length in zip(sizes, addresses, lengths, strict=True):
            if (size, length) not in _HOSTS:
                check_network(address, length)
    if set(map(type, addresses)) != {bytes} or set(map(type, times_s)) != {float}:
        raise MalformedRecord("type", "an address or a time has another type")
    if not math.isfinite(math.fsum(times_s)):
        raise MalformedRecord("time", "a time is infinite")
    for some in set(ports) - {b""}:
        check_ports(some)


def _read_each(rows: Sequence[Row]) -> tuple[list[Ban], int]:
    found, malformed = [], 0
    for row in rows:
        try:
            found.append(read_ban(unchecked(_with_texts(row))))
        except MalformedRecord:
            malformed += 1
    return found, malformed


def _with_texts(row: Row) -> Row:
    texts = zip(row, _TEXTS, strict=True)
    return tuple(_shared[one] if is_text and type(one) is bytes else one for one, is_text in texts)
