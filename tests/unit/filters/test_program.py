"""Programs of the native matcher find what `re` finds."""

import re

import pytest

from monitor import native
from monitor.filters.byte_sets import Untranslatable
from monitor.filters.program import compile_program

pytestmark = pytest.mark.skipif(native.extension is None, reason=native.why_not)

_TEXTS = ("Failed password for root from 192.0.2.1 port 22\n", "aab abb\n", "\n", " x  =1", "AbAb__\n\n", "b")
_EXPRESSIONS = (
    r"Failed \S+ for (?P<user>.*) from (?P<host>\S+)(?: port \d+)?$",
    r"(?i)failed\s+PASSWORD",
    r"(a+?)(b|bb)\b",
    r"(?>a+)b(?= a)",
    r"(?:a|ab)(?:c|b)?(?!\w)",
    r"\s*(x)?\s*(?(1)=|\S)\d{1,3}",
    r"(?s:.)+?(?m:$)",
    r"(?:Ab){2,5}_*",
    r"(\w)\w*(?<=b)",
)


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_programs_match_as_re_does(expression: str) -> None:
    """Whether it matches, where, and all groups."""
    assert native.extension is not None
    pattern = re.compile(expression)
    program = native.extension.Program(compile_program(pattern))
    for text in _TEXTS:
        match = pattern.match(text)
        spans = match and tuple(place for number in range(pattern.groups + 1) for place in match.span(number))
        assert program.match(text.encode()) == spans, text


def test_what_is_not_surely_the_same_is_refused() -> None:
    """The text says why."""
    with pytest.raises(Untranslatable, match="repeats what may be empty"):
        compile_program(re.compile(r"(?:a*)*"))
