"""The parts of a parsed regular expression: what stands inside an item of `re`'s own parser."""

import re
from collections.abc import Sequence
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
"""A code of `re._constants` and its argument."""
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
LOOKS = (sre.ASSERT, sre.ASSERT_NOT)
_REMEMBERED = 4
"""Trees: a filter's expressions are examined one after another, each together with its prefregex."""


def tree_of(pattern: re.Pattern[str]) -> Any:
    """Return the parse tree of an expression, which must not be changed: (opcode, argument) pairs of `re`'s parser."""
    return _parsed(pattern.pattern, pattern.flags & ~re.UNICODE)


@lru_cache(_REMEMBERED)
def _parsed(text: str, flags: int) -> Any:
    """Parse: this takes longer than anything else that is done with an expression at the start."""
    return parser.parse(text, flags)


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
