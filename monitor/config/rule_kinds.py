"""Kinds of values in rules for single networks: networks as keys, and values that may be left to the section around."""

from typing import TypeVar

from monitor.config import types
from monitor.config.kinds import NETWORK, Names, ValueKind

T = TypeVar("T")

NETWORK_NAMES = Names(
    "[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?", "a network such as 10.0.0.0/8 or 2001:db8::/32", read=NETWORK.read
)
"""Networks as keys of a mapping."""


def inherited(kind: ValueKind[T]) -> ValueKind[T | types.Inherited]:
    """Return a kind whose value may be left to the section around."""

    def read(text: str) -> T | types.Inherited:
        return types.Inherited.INHERIT if text == types.Inherited.INHERIT else kind.read(text)

    def write(value: T | types.Inherited) -> bool | int | float | str:
        return str(value) if isinstance(value, types.Inherited) else kind.write(value)

    schema = {"anyOf": [dict(kind.schema), {"type": "string", "enum": [str(types.Inherited.INHERIT)]}]}
    return ValueKind(f"{kind.noun}, or `{types.Inherited.INHERIT}`", read, write, schema)
