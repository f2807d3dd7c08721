"""Decodes BTF, the kernel's description of its types (Documentation/bpf/btf.rst). Pure."""

import struct
from array import array
from collections.abc import Iterator
from pathlib import Path

from monitor.model.errors import MalformedRecord

KERNEL = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_MEMBER = struct.Struct("=III")
_ENUMERATOR = struct.Struct("=Ii")
_INT, _STRUCT, _UNION, _ENUM, _TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNCTION, _TYPE_TAG, _ENUM64 = (
    1,
    4,
    5,
    6,
    8,
    9,
    10,
    11,
    12,
    18,
    19,
)
_MODIFIERS = frozenset((_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG))
_FIXED = {_INT: 4, 3: 12, 14: 4, 17: 4}
"""Bytes after the type header, by kind: integer, array, variable, declaration tag."""
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, 13: 8, 15: 12, _ENUM64: 12}
"""Bytes per member, by kind; 13 is a function prototype, 15 a section."""
_KEPT = frozenset((_STRUCT, _ENUM, _TYPEDEF, _FUNCTION))
_LAST_KIND = 19
_MAX_DEPTH = 32


class Btf:
    """The types of one object; MalformedRecord if it is not BTF."""

    def __init__(self, data: bytes) -> None:
        """Take the whole object; only the offsets of types are remembered in addition to the bytes."""
        try:
            magic, version, _, header_bytes, type_at, type_bytes, string_at, string_bytes = _HEADER.unpack_from(data)
        except struct.error:
            raise MalformedRecord("btf", "too short for a header") from None
        if magic != _MAGIC or version != 1:
            raise MalformedRecord("btf", f"magic {magic:#x}, version {version}")
        self._types = data[header_bytes + type_at : header_bytes + type_at + type_bytes]
        self._strings = data[header_bytes + string_at : header_bytes + string_at + string_bytes]
        if len(self._types) != type_bytes or len(self._strings) != string_bytes:
            raise MalformedRecord("btf", "a section is truncated")
        self._offsets = array("I", [0])
        self._named: dict[tuple[int, int], int] = {}
        self._index()

    def offset_bytes(self, struct_name: str, path: str) -> int | None:
        """Return the offset of a member, or of `a.b` in a nested one; None if it does not exist. Refuses bit fields."""
        type_id = self._find(struct_name, _STRUCT)
        total_bits = 0
        for name in path.split("."):
            found = None if type_id is None else self._member(type_id, name)
            if found is None:
                return None
            bits, type_id = found
            total_bits += bits
        if total_bits % 8:
            raise MalformedRecord("btf", f"{struct_name}.{path} is a bit field")
        return total_bits // 8

    def enumerators(self, enum_name: str) -> dict[str, int]:
        """Return the values of an enumeration by name; empty if it does not exist."""
        type_id = self._find(enum_name, _ENUM)
        if type_id is None:
            return {}
        _, info, _ = self._type(type_id)
        at = self._offsets[type_id] + _TYPE.size
        return {
            self._string(name_at): value
            for name_at, value in _ENUMERATOR.iter_unpack(self._types[at : at + 8 * (info & 0xFFFF)])
        }

    def typedef_id(self, name: str) -> int | None:
        """Return the ID of a type definition; None if it does not exist."""
        return self._find(name, _TYPEDEF)

    def struct_id(self, name: str) -> int | None:
        """Return the ID of a structure; None if it does not exist."""
        return self._find(name, _STRUCT)

    def function_id(self, name: str) -> int | None:
        """Return the ID of a kernel function; None if BTF does not contain it."""
        return self._find(name, _FUNCTION)

    def enum_names(self, ending: str) -> list[str]:
        """Return the names of enumerations with this ending."""
        names = [self._string(name_at) for name_at, kind in self._named if kind == _ENUM]
        return [name for name in names if name.endswith(ending)]

    def _index(self) -> None:
        """Record the offset of each type, and the first type of each name that is looked up by name."""
        types, offsets, named = self._types, self._offsets, self._named
        unpack, fixed, each = _TYPE.unpack_from, _FIXED.get, _EACH.get
        at, end, number = 0, len(types), 1
        while at < end:
            if end - at < 12:
                raise MalformedRecord("btf", "a type is truncated")
            name_at, info, _ = unpack(types, at)
            kind = info >> 24 & 0x1F
            if not 0 < kind <= _LAST_KIND:
                raise MalformedRecord("btf", f"a type of kind {kind}")
            offsets.append(at)
            if name_at and kind in _KEPT:
                named.setdefault((name_at, kind), number)
            at += 12 + fixed(kind, 0) + each(kind, 0) * (info & 0xFFFF)
            number += 1
        if at != end:
            raise MalformedRecord("btf", "the last type is truncated")

    def _find(self, name: str, kind: int) -> int | None:
        """Return the type of this name; the string table may contain a name several times, so all are tried."""
        wanted, at = b"\0" + name.encode() + b"\0", -1
        while (at := self._strings.find(wanted, at + 1)) >= 0:
            if (type_id := self._named.get((at + 1, kind))) is not None:
                return type_id
        return None

    def _type(self, type_id: int) -> tuple[int, int, int]:
        if not 0 < type_id < len(self._offsets):
            raise MalformedRecord("btf", f"no type {type_id}")
        name_at, info, size_or_type = _TYPE.unpack_from(self._types, self._offsets[type_id])
        return name_at, info, size_or_type

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int]]:
        """Yield name, offset in bits and type of each member."""
        _, info, _ = self._type(type_id)
        at = self._offsets[type_id] + _TYPE.size
        has_bit_fields = info >> 31
        for name_at, member_type, offset in _MEMBER.iter_unpack(self._types[at : at + 12 * (info & 0xFFFF)]):
            yield self._string(name_at), offset & 0xFFFFFF if has_bit_fields else offset, member_type

    def _member(self, type_id: int, wanted: str, depth: int = 0) -> tuple[int, int] | None:
        """Return offset in bits and type of a member, also of members of anonymous structures."""
        type_id = self._plain(type_id)
        if depth > _MAX_DEPTH or self._type(type_id)[1] >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        for name, bits, member_type in self._members(type_id):
            if name == wanted:
                return bits, member_type
            if not name and (inner := self._member(member_type, wanted, depth + 1)):
                return bits + inner[0], inner[1]
        return None

    def _plain(self, type_id: int) -> int:
        """Return the type without type definitions and qualifiers."""
        for _ in range(_MAX_DEPTH):
            _, info, behind = self._type(type_id)
            if info >> 24 & 0x1F not in _MODIFIERS:
                return type_id
            type_id = behind
        raise MalformedRecord("btf", f"type {type_id} does not resolve")

    def _string(self, at: int) -> str:
        end = self._strings.find(b"\0", at)
        return self._strings[at : end if end >= 0 else len(self._strings)].decode(errors="replace")
