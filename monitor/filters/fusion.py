"""Combines date, prefregex and failregex of a filter in one expression where that is equivalent: one match, not three.

A line that it matches is also matched by the three in turn, with the same groups. A line that it does not match is
examined step by step, so it may miss lines but must never match a wrong one. Therefore only expressions are combined
whose meaning does not depend on where the text starts, apart from the `^` at their own start.
"""

import re
from collections.abc import Iterable
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from monitor.filters.date_templates import Template
from monitor.filters.expressions import Expression, Expressions
from monitor.filters.subexpressions import LOOKS, REPEATS, inside

if TYPE_CHECKING:
    from monitor.filters.forms import Forms

_MAX_DATED = 1024
"""A log contains few date formats; an attacker who writes dates in all formats only makes matching slower."""
_CONTENT = "(?P<content>.+)$"
_BY_NUMBER = re.compile(r"\\[1-9]|\(\?\(\d")
_FLAGS = re.compile(r"\(\?([aimsx]+)\)\^")


class Fusion:
    """The combined expressions of a filter, each compiled on first use; those who share the filter share them."""

    def __init__(self, expressions: Expressions) -> None:
        """With an ignoreregex nothing is combined, because that must be matched as well."""
        self._fail = [] if expressions.ignore else expressions.fail
        self._head = _head(expressions)
        self._dated: dict[tuple[Template, int], Expression | None] = {}
        self._plain: dict[int, Expression | None] = {}
        self.forms: dict[Template | None, Forms] = {}
        """What the native extension matches; see `monitor.filters.forms`."""

    def dated(self, number: int, template: Template) -> Expression | None:
        """Return the expression for lines that start with a date of this format; None if there is none.

        The groups of the date come first and keep their numbers.
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
        except re.error:  # two parts have a group of the same name
            return None


_shared: WeakKeyDictionary[Expressions, Fusion] = WeakKeyDictionary()


def shared_fusion(expressions: Expressions) -> Fusion:
    """Return the combined expressions of a filter that detectors share (`shared_expressions`)."""
    fusion = _shared.get(expressions)
    if fusion is None:
        fusion = _shared[expressions] = Fusion(expressions)
    return fusion


def _date(template: Template) -> str | None:
    """Return the expression for a date at the first character of a line; None if the template matches more."""
    text = template.expression.text
    flags = ""
    if match := _FLAGS.match(text):
        flags, text = match[1], text[match.end() - 1 :]
    if not (template.is_direct and template.is_memorable and template.expression.is_whole and text.startswith("^")):
        return None
    return rf"(?!\W)(?>(?{flags}:{text[1:]}))"


def _head(expressions: Expressions) -> str | None:
    """Return the expression before the content; "" without a prefregex, None if it cannot be combined."""
    if expressions.prefix is None:
        return ""
    text = expressions.prefix.pattern.pattern
    if not text.endswith(_CONTENT) or not _can_follow(text):
        return None
    return f"(?>{text[1 : -len(_CONTENT)]})"


def _can_follow(text: str) -> bool:
    """Whether an expression without its `^` means the same after other text."""
    if not text.startswith("^") or _BY_NUMBER.search(text):
        return False
    tree = list(parser.parse(text))
    return tree[0] == (sre.AT, sre.AT_BEGINNING) and _is_local(tree[1:], 0)


def _is_local(items: Iterable[tuple[Any, Any]], seen: int) -> bool:
    """Whether no item looks back past the start of the expression; at least `seen` characters are matched before."""
    for code, argument in items:
        if code is sre.AT and not _is_local_anchor(argument, seen):
            return False
        if code in LOOKS and argument[0] < 0:
            before = seen - argument[1].getwidth()[1]
            if before < 0 or not _is_local(argument[1], before):
                return False
        inner = [argument[1]] if code in LOOKS and argument[0] > 0 else inside(code, argument)
        if not all(_is_local(one, seen) for one in inner):
            return False
        seen += _least(code, argument)
    return True


def _is_local_anchor(anchor: Any, seen: int) -> bool:
    if anchor in (sre.AT_END, sre.AT_END_STRING):
        return True
    return anchor in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY) and seen > 0


def _least(code: Any, argument: Any) -> int:
    """Return a lower bound for the number of characters that an item matches."""
    if code in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY):
        return 1
    if code in REPEATS:
        return int(argument[0]) * sum(_least(*item) for item in argument[2])
    if code is sre.BRANCH:
        return min(sum(_least(*item) for item in branch) for branch in argument[1])
    if code is sre.SUBPATTERN:
        return sum(_least(*item) for item in argument[3])
    if code is sre.ATOMIC_GROUP:
        return sum(_least(*item) for item in argument)
    return 0
