"""Date, prefregex and failregex of a filter as one expression, where that comes to the same: one match, not three.

What it matches, the three match one after the other, and with the same groups; what it does not match is examined step
by step. So it need not take every line, but what it takes must be right. Hence it is made only of parts whose meaning
does not depend on where a text begins, except for the `^` with which they begin.
"""

import re
from collections.abc import Iterable
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from monitor.filters.date_templates import Template
from monitor.filters.expressions import Expression, Expressions

_MAX_DATED = 1024
"""A log mixes a few forms of dates; who can write dates of all forms only makes it slower."""
_CONTENT = "(?P<content>.+)$"
_BY_NUMBER = re.compile(r"\\[1-9]|\(\?\(\d")
_FLAGS = re.compile(r"\(\?([aimsx]+)\)\^")
_LOOKS = (sre.ASSERT, sre.ASSERT_NOT)
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)


class Fusion:
    """The fused expressions of a filter, made when they are first asked for."""

    def __init__(self, expressions: Expressions) -> None:
        """Nothing is fused where an ignoreregex must be asked too."""
        self._fail = [] if expressions.ignore else expressions.fail
        self._head = _head(expressions)
        self._dated: dict[tuple[Template, int], Expression | None] = {}
        self._plain: dict[int, Expression | None] = {}

    def dated(self, number: int, template: Template) -> Expression | None:
        """Return the expression for lines that begin with a date of this form; None if there is none.

        The date's groups come first, with their own numbers.
        """
        try:
            return self._dated[template, number]
        except KeyError:
            if len(self._dated) >= _MAX_DATED:
                self._dated.clear()
            fused = self._dated[template, number] = self._fuse(number, _date(template))
            return fused

    def plain(self, number: int) -> Expression | None:
        """Return the expression for lines without a date; None if there is none."""
        try:
            return self._plain[number]
        except KeyError:
            fused = self._plain[number] = self._fuse(number, "")
            return fused

    def _fuse(self, number: int, date: str | None) -> Expression | None:
        if date is None or self._head is None or number >= len(self._fail):
            return None
        text = self._fail[number].pattern.pattern
        if not _can_follow(text):
            return None
        try:
            return Expression(text, re.compile(f"{date}{self._head}(?:{text[1:]})"), None, "")
        except re.error:  # two parts use a group of the same name
            return None


def _date(template: Template) -> str | None:
    """Return the expression for a date at the very begin of a line; None where that is more than the date."""
    text = template.expression.text
    flags = ""
    if match := _FLAGS.match(text):
        flags, text = match[1], text[match.end() - 1 :]
    if not (template.is_direct and template.is_memorable and template.expression.is_whole and text.startswith("^")):
        return None
    return rf"(?!\W)(?>(?{flags}:{text[1:]}))"


def _head(expressions: Expressions) -> str | None:
    """Return what comes before the content; "" without a prefregex, None if that cannot be fused."""
    if expressions.prefix is None:
        return ""
    text = expressions.prefix.pattern.pattern
    if not text.endswith(_CONTENT) or not _can_follow(text):
        return None
    return f"(?>{text[1 : -len(_CONTENT)]})"


def _can_follow(text: str) -> bool:
    """Whether an expression means the same behind other text, once its `^` is taken away."""
    if not text.startswith("^") or _BY_NUMBER.search(text):
        return False
    tree = list(parser.parse(text))
    return tree[0] == (sre.AT, sre.AT_BEGINNING) and _is_local(tree[1:], 0)


def _is_local(items: Iterable[tuple[Any, Any]], seen: int) -> bool:
    """Whether nothing looks back further than the expression itself; `seen` characters at least were matched before."""
    for code, argument in items:
        if code is sre.AT and not _is_local_place(argument, seen):
            return False
        if code in _LOOKS and argument[0] < 0:
            before = seen - argument[1].getwidth()[1]
            if before < 0 or not _is_local(argument[1], before):
                return False
        if not all(_is_local(inner, seen) for inner in _inner(code, argument)):
            return False
        seen += _least(code, argument)
    return True


def _is_local_place(place: Any, seen: int) -> bool:
    if place in (sre.AT_END, sre.AT_END_STRING):
        return True
    return place in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY) and seen > 0


def _inner(code: Any, argument: Any) -> list[Any]:
    """Return the expressions within an item."""
    if code is sre.SUBPATTERN:
        return [argument[3]]
    if code is sre.ATOMIC_GROUP:
        return [argument]
    if code is sre.BRANCH:
        return list(argument[1])
    if code in _REPEATS:
        return [argument[2]]
    if code is sre.GROUPREF_EXISTS:
        return [inner for inner in argument[1:] if inner]
    if code in _LOOKS:
        return [argument[1]] if argument[0] > 0 else []
    return []


def _least(code: Any, argument: Any) -> int:
    """Return how many characters an item matches at least; too few rather than too many."""
    if code in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY):
        return 1
    if code in _REPEATS:
        return int(argument[0]) * sum(_least(*item) for item in argument[2])
    if code is sre.BRANCH:
        return min(sum(_least(*item) for item in branch) for branch in argument[1])
    if code is sre.SUBPATTERN:
        return sum(_least(*item) for item in argument[3])
    if code is sre.ATOMIC_GROUP:
        return sum(_least(*item) for item in argument)
    return 0
