"""The parts of a parsed regular expression: what stands inside an item of `re`'s own parser."""

from collections.abc import Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
"""A code of `re._constants` and its argument."""
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
LOOKS = (sre.ASSERT, sre.ASSERT_NOT)


def inside(code: Any, argument: Any) -> list[Sequence[Item]]:
    """Return the sequences of items inside an item, of which one or all match what it matches.

    What looks ahead or behind matches nothing itself: see `LOOKS`.
    """
    if code is sre.SUBPATTERN:
        return [argument[3]]
    if code is sre.ATOMIC_GROUP:
        return [argument]
    if code is sre.BRANCH:
        return list(argument[1])
    if code in REPEATS:
        return [argument[2]]
    if code is sre.GROUPREF_EXISTS:
        return [argument[1], argument[2] or []]
    return []
