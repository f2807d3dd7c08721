"""Writes databases of addresses in the format of MaxMind DB 2.0, small ones, and such as no honest writer makes."""

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARK = b"\xab\xcd\xefMaxMind.com"
_DATA_OFFSET = 16
_STRING, _UINT32, _MAP, _UINT16, _UINT64, _ARRAY = 2, 6, 7, 5, 9, 11


class Raw(bytes):
    """A record that is written as it is."""


def encode(value: Any) -> bytes:
    """Write a value of the data section."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, str):
        return _head(_STRING, len(value.encode())) + value.encode()
    if isinstance(value, int):
        packed = value.to_bytes((value.bit_length() + 7) // 8)
        return _head(_UINT32, len(packed)) + packed
    if isinstance(value, Mapping):
        return _head(_MAP, len(value)) + b"".join(encode(key) + encode(one) for key, one in value.items())
    assert isinstance(value, list)
    return _head(_ARRAY, len(value)) + b"".join(map(encode, value))


def _head(kind: int, size: int) -> bytes:
    code, more = (
        (size, b"") if size < 29 else (29, bytes([size - 29])) if size < 285 else (30, struct.pack("!H", size - 285))
    )
    return (bytes([code, kind - 7]) if kind > 7 else bytes([kind << 5 | code])) + more


def pointer(offset: int) -> Raw:
    """Return a pointer to an offset of the data section."""
    return Raw(bytes([1 << 5 | 3 << 3]) + struct.pack("!I", offset))


def database(networks: Mapping[str, Any], kind: str = "GeoLite2-ASN", *, version: int = 6, **metadata: Any) -> bytes:
    """Return a database of networks of either family."""
    nodes: list[list[int | str | None]] = [[None, None]]
    data = bytearray()
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        bits = network.prefixlen + (96 if network.version == 4 and version == 6 else 0)
        number = int(network.network_address)
        width = 128 if version == 6 else 32
        node = 0
        for place in range(bits):
            side = number >> (width - 1 - place) & 1
            if place == bits - 1:
                nodes[node][side] = f"@{len(data)}"
                break
            following = nodes[node][side]
            if not isinstance(following, int):
                nodes.append([None, None])
                following = nodes[node][side] = len(nodes) - 1
            node = following
        data += encode(record)
    tree = b"".join(_side(side, len(nodes)) for node in nodes for side in node)
    about = {
        "node_count": len(nodes), "record_size": 24, "ip_version": version, "database_type": kind, "languages": ["en"],
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1,
        "description": {"en": "x"},
    } | metadata  # fmt: skip
    return tree + bytes(_DATA_OFFSET) + bytes(data) + _MARK + encode(about)


def _side(side: int | str | None, count: int) -> bytes:
    if isinstance(side, str):
        return (count + _DATA_OFFSET + int(side[1:])).to_bytes(3)
    return (count if side is None else side).to_bytes(3)


def write(path: Path, networks: Mapping[str, Any], kind: str = "GeoLite2-ASN", **more: Any) -> Path:
    """Write a database to a file."""
    path.write_bytes(database(networks, kind, **more))
    return path
