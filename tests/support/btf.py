"""Creates BTF for tests of the decoder."""

import struct

_INT, _PTR, _STRUCT, _UNION, _ENUM, _TYPEDEF, _CONST = 1, 2, 4, 5, 6, 8, 10


class BtfMaker:
    """Adds types one by one; type IDs start at 1, as in the kernel."""

    def __init__(self) -> None:
        self._types = b""
        self._strings = b"\0"
        self._count = 0

    def string(self, text: str) -> int:
        """Add a string and return its offset; empty text is at 0."""
        if not text:
            return 0
        at = len(self._strings)
        self._strings += text.encode() + b"\0"
        return at

    def _add(self, name: str, kind: int, size_or_type: int, tail: bytes = b"", count: int = 0, flag: int = 0) -> int:
        self._types += struct.pack("=III", self.string(name), flag << 31 | kind << 24 | count, size_or_type) + tail
        self._count += 1
        return self._count

    def integer(self, name: str, size: int) -> int:
        """Add an integer."""
        return self._add(name, _INT, size, struct.pack("=I", size * 8))

    def pointer(self, to: int) -> int:
        """Add a pointer."""
        return self._add("", _PTR, to)

    def alias(self, name: str, to: int) -> int:
        """Add a type definition of a qualified type."""
        return self._add(name, _TYPEDEF, self._add("", _CONST, to))

    def composite(
        self,
        name: str,
        size: int,
        members: list[tuple[str, int, int]],
        *,
        is_union: bool = False,
        has_bits: bool = False,
    ) -> int:
        """Add a structure of (name, type, offset in bits)."""
        tail = b"".join(struct.pack("=III", self.string(text), kind, bits) for text, kind, bits in members)
        return self._add(name, _UNION if is_union else _STRUCT, size, tail, len(members), int(has_bits))

    def enumeration(self, name: str, values: dict[str, int]) -> int:
        """Add an enumeration."""
        tail = b"".join(struct.pack("=Ii", self.string(text), value) for text, value in values.items())
        return self._add(name, _ENUM, 4, tail, len(values))

    def bytes(self) -> bytes:
        """Return the whole object."""
        header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings))
        return header + self._types + self._strings
