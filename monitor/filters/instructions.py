"""The instructions of the native matcher: `enum op` and `enum place` of native/program.h."""

import enum
import re
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from monitor.filters.byte_sets import Untranslatable

VERSION = 2
"""NW_PROGRAM_VERSION of native/program.h: rises with each change of instructions."""


class Op(enum.IntEnum):
    """An instruction; its operands are listed in native/program.h."""

    MATCH = 0
    LITERAL = 1
    LITERAL_FOLDED = 2
    """Ignores case."""
    SET = 3
    RUN = 4
    """Gives nothing back."""
    GREEDY = 5
    LAZY = 6
    SPLIT = 7
    """Continues here if the next byte is in the set, and can go to the other place later."""
    ONLY = 8
    """Continues here if the next byte is in the set, else to the other place."""
    JUMP = 9
    SAVE = 10
    AT = 11
    PEEK = 12
    BEHIND = 13
    ATOMIC = 14
    ATOMIC_END = 15
    LOOK = 16
    LOOK_END = 17
    NOT = 18
    NOT_END = 19
    REFERENCE = 20
    IF_SET = 21
    COUNT = 22
    LOOP = 23
    FAIL = 24
    BYTE = 25
    """One byte, as SET."""
    MAYBE = 26
    """RUN of at most one."""
    OPTION = 27
    """GREEDY of at most one."""
    ONLY_TAKE = 28
    """ONLY and the SET after it."""
    SPLIT_TAKE = 29
    """SPLIT and the SET after it."""
    SWITCH = 30
    """Goes where a table says for the next byte."""


PLACES = {
    sre.AT_BEGINNING: 0,
    sre.AT_BEGINNING_STRING: 0,
    sre.AT_END: 1,
    sre.AT_END_STRING: 2,
    sre.AT_BOUNDARY: 3,
    sre.AT_NON_BOUNDARY: 4,
}
"""The operand of `Op.AT`, by anchor."""
LINE_START, LINE_END = 5, 6
"""The same of `^` and `$` where these match at each line."""


def place_of(anchor: Any, flags: int) -> int:
    """Return the operand of `Op.AT` for an anchor under these flags; Untranslatable for an unknown one."""
    if flags & int(re.MULTILINE):
        if anchor is sre.AT_BEGINNING:
            return LINE_START
        if anchor is sre.AT_END:
            return LINE_END
    try:
        return PLACES[anchor]
    except KeyError:
        raise Untranslatable(f"unknown anchor {anchor}") from None
