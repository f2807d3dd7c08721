"""Kinds of values that are words of a fixed form: names of nodes, of machines, of users."""

import re

from monitor.config.kinds import ValueKind
from monitor.config.types import quote


def matching(noun: str, pattern: str, wanted: str, *, optional: bool = False) -> ValueKind[str]:
    """Words that match `pattern` as a whole, and the empty word if `optional`; others are "not `wanted`"."""

    def read(value: str) -> str:
        if not re.fullmatch(pattern, value) and (value or not optional):
            raise ValueError(f"{quote(value)} is not {wanted}")
        return value

    return ValueKind(noun, read, str, {"type": "string", "pattern": f"^({pattern})?$" if optional else f"^{pattern}$"})
