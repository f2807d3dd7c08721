"""A search that can be stopped finds what `re` finds."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters import search
from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.search import stoppable_search

_EXPRESSIONS = (
    "b+c", "^b+c", "(?:^a|^b)c", "(?:^a|b)c", "(?m)^b", "(?m:^b)c", "(?i)B(?=C)", "(?<!a)b", r"(a)\1", "(?x) b # c",
    "c$", r"\Ab", "(?>^b)c", "(?=b)^.c", "(?P<x>b)?(?(x)c|a)", "a|b|", "[ab]{2,}?c", "(?s)b.c", r"\bb",
)  # fmt: skip
_ANCHORED = ("^b+c", "(?:^a|^b)c", r"\Ab", "(?>^b)c", "(?=b)^.c")


def _shown(match: re.Match[str] | None) -> object:
    return match and (match.regs, match.groups(), match.groupdict())


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(_EXPRESSIONS), st.text("abcABC \n", max_size=20))
def test_finds_the_same(expression: str, text: str) -> None:
    """In short and in long texts it finds the same match, with the same groups at the same positions."""
    pattern = re.compile(expression)
    short = search._SHORT
    for limit in (-1, len(text)):
        search._SHORT = limit
        try:
            assert _shown(stoppable_search(pattern)(text)) == _shown(pattern.search(text))
        finally:
            search._SHORT = short


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_anchored_expressions_are_matched_once(expression: str) -> None:
    """What can only match at the start of the text is not tried anywhere else."""
    pattern = re.compile(expression)
    assert (stoppable_search(pattern) == pattern.match) == (expression in _ANCHORED)


@pytest.mark.parametrize(
    ("expression", "filler"),
    [(r"\s*x", " "), ("[a-z]+@", "a"), (r"(?<!x)\d+\.\d+$", "1"), ("foo.*bar.*baz", "foobar"), ("(?:x+x+)+y", "x")],
)
def test_every_search_can_be_stopped(expression: str, filler: str) -> None:
    """Expressions for which `re` alone would take seconds on a long line, and not look for signals meanwhile."""
    find = stoppable_search(re.compile(expression))
    deadline = Deadline(0.02)
    with deadline.watching(), pytest.raises(TooSlow):
        deadline.call(find, filler * (65_536 // len(filler)))
