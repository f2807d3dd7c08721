"""Which bytes an item of an expression matches, and with which bytes it can start: sets of ASCII bytes, as integers.

Bit N stands for byte N, bit 128 (`END`) for the end of the text. Pure.
"""

import operator
import re
from collections.abc import Sequence
from functools import lru_cache, reduce
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from monitor.filters.subexpressions import LOOKS, REPEATS, Item, inside

ASCII = (1 << 128) - 1
END = 1 << 128
ANYTHING = ASCII | END
_IGNORECASE, _DOTALL, _ASCII_ONLY = int(re.IGNORECASE), int(re.DOTALL), int(re.ASCII)
"""As plain integers: operations on members of an enumeration cost most of the time of a compilation."""
_INNER = int(re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE)
SINGLE = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
"""The items that match one character."""


class Untranslatable(Exception):  # noqa: N818 - what the expression is
    """The expression has no program that surely means the same; the text says why."""


def _mask(text: str) -> int:
    return sum(1 << ord(character) for character in set(text))


def _span(first: int, last: int) -> int:
    return ((1 << (last + 1)) - 1) & ~((1 << first) - 1) if first <= last else 0


_DIGIT = _span(0x30, 0x39)
_WORD = _DIGIT | _span(0x41, 0x5A) | _span(0x61, 0x7A) | _mask("_")
_SPACE = _span(0x09, 0x0D) | _mask(" ")
_NEWLINE = _mask("\n")
_SEPARATORS = _span(0x1C, 0x1F)
"""White space in Unicode, but not in ASCII mode."""
_UPPER, _LOWER = _span(0x41, 0x5A), _span(0x61, 0x7A)


def inner_flags(flags: int, added: int, removed: int) -> int:
    """Return the flags inside a group such as `(?i:...)`; Untranslatable for those that change what text is."""
    if (added | removed) & ~_INNER:
        raise Untranslatable("flags inside")
    return (flags | added) & ~removed


def only_single(items: Sequence[Item], flags: int) -> int | None:
    """Return the bytes of a sequence that is one set; None for others."""
    if len(items) != 1:
        return None
    code, argument = items[0]
    if code is sre.SUBPATTERN and argument[0] is None:
        return only_single(argument[3], inner_flags(flags, argument[1], argument[2]))
    return single(code, argument, flags) if code in SINGLE else None


def single(code: Any, argument: Any, flags: int) -> int:
    """Return the bytes that an item of one character matches."""
    if code is sre.ANY:
        return ASCII if flags & _DOTALL else ASCII & ~_NEWLINE
    if code is sre.IN:
        return _class(tuple(argument), flags & (_IGNORECASE | _ASCII_ONLY))
    bits = _folded(_range(argument, argument, flags), flags)
    return bits if code is sre.LITERAL else ASCII & ~bits


@lru_cache(256)
def _class(items: tuple[Item, ...], flags: int) -> int:
    bits, is_negated = 0, False
    for code, argument in items:
        if code is sre.NEGATE:
            is_negated = True
        elif code is sre.LITERAL:
            bits |= _range(argument, argument, flags)
        elif code is sre.RANGE:
            first, last = argument
            bits |= _range(first, last, flags)
        elif code is sre.CATEGORY:
            bits |= _category(argument, flags)
        else:
            raise Untranslatable(f"unknown part of a set {code}")
    bits = _folded(bits, flags)
    return ASCII & ~bits if is_negated else bits


def _range(first: int, last: int, flags: int) -> int:
    if last > 0x7F and flags & _IGNORECASE:
        raise Untranslatable("it has characters beyond ASCII")  # some of them equal ASCII letters
    return _span(first, min(last, 0x7F))


def _category(category: Any, flags: int) -> int:
    space = _SPACE if flags & _ASCII_ONLY else _SPACE | _SEPARATORS
    known = {
        sre.CATEGORY_DIGIT: _DIGIT,
        sre.CATEGORY_NOT_DIGIT: ASCII & ~_DIGIT,
        sre.CATEGORY_SPACE: space,
        sre.CATEGORY_NOT_SPACE: ASCII & ~space,
        sre.CATEGORY_WORD: _WORD,
        sre.CATEGORY_NOT_WORD: ASCII & ~_WORD,
    }
    try:
        return known[category]
    except KeyError:
        raise Untranslatable(f"unknown category {category}") from None


def _folded(bits: int, flags: int) -> int:
    if flags & _IGNORECASE:
        bits |= (bits & _UPPER) << 32 | (bits & _LOWER) >> 32
    return bits


def first_bytes(items: Sequence[Item], flags: int, follow: int) -> int:
    """Return a superset of the bytes (or the end) at which these items, and what follows, can match."""
    needed = 0
    for code, _ in items:
        needed += 1
        if code in SINGLE:  # it takes a byte, so nothing after it matters
            break
    for code, argument in reversed(items[:needed]):
        follow = first_of(code, argument, flags, follow)
    return follow


def first_of(code: Any, argument: Any, flags: int, follow: int) -> int:
    """Return a superset of the bytes (or the end) at which an item, followed by one of `follow`, can match."""
    if code in SINGLE:
        return single(code, argument, flags)
    if code is sre.AT:
        if argument is sre.AT_END_STRING:
            return follow & END
        return follow & (END | _NEWLINE) if argument is sre.AT_END else follow
    if code is sre.SUBPATTERN:
        return first_bytes(argument[3], inner_flags(flags, argument[1], argument[2]), follow)
    if code in REPEATS:
        low, _, inner = argument
        own = first_bytes(inner, flags, follow)
        own |= first_bytes(inner, flags, follow | own)
        return own if low else own | follow
    if code in LOOKS:
        ahead = code is sre.ASSERT and argument[0] > 0
        return follow & first_bytes(argument[1], flags, ANYTHING) if ahead else follow
    sequences = inside(code, argument)
    if not sequences:
        return ANYTHING
    return reduce(operator.or_, (first_bytes(inner, flags, follow) for inner in sequences))


def union_of(sets: Sequence[int]) -> int:
    """Return the bytes that are in any of these sets."""
    union = 0
    for one in sets:
        union |= one
    return union
