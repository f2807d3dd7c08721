r"""Searches a text for an expression so that a search can be stopped, however long the text is.

`re` looks for signals every 4,096 steps of one attempt to match, and starts to count anew at each position of the text.
An expression such as `\s+x` therefore searches 64 kB of blanks for seconds without a pause. Two forms avoid that:

- An expression that can only match at the start of the text is matched there once.
- In a long text any other expression is first tried at 64 positions at a time, behind a lazy `.{0,63}?`: Python looks
  for signals in between. Only if it matches there, the text is searched as usual, which takes no longer. That costs 15
  ns a character, so short texts are only searched as usual: they take a few milliseconds at most without a pause.
"""

import re
from collections.abc import Callable, Iterable
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any, TypeAlias

from monitor.filters.subexpressions import tree_of

_SHORT = 1024
"""Longer texts, in characters, are searched in steps."""
_POSITIONS = 64
"""How many positions of a long text are tried without a pause."""
_FLAGS = re.compile(r"(?:\(\?[aimsux]+\))+")
_NO_TEXT = (sre.ASSERT, sre.ASSERT_NOT)

Search: TypeAlias = Callable[[str], re.Match[str] | None]


def stoppable_search(pattern: re.Pattern[str]) -> Search:
    """Return a function that finds what `pattern.search` finds; groups and positions are the same."""
    tree = tree_of(pattern)
    if _is_anchored(tree, is_multiline=bool(pattern.flags & re.MULTILINE)):
        return pattern.match
    search, stepwise = pattern.search, _Stepwise(pattern)

    def find(text: str) -> re.Match[str] | None:
        return search(text) if len(text) <= _SHORT or stepwise.matches(text) else None

    return find


class _Stepwise:
    """The form for long texts, compiled with the first of them: most logs have none."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._try: re.Pattern[str] | None = None

    def matches(self, text: str) -> bool:
        """Whether the expression matches anywhere in a text."""
        if self._try is None:
            pattern = self._pattern
            flags = _FLAGS.match(pattern.pattern)
            own = pattern.pattern[flags.end() :] if flags else pattern.pattern
            # The newline ends a comment of the verbose notation
            end = "\n)" if pattern.flags & re.VERBOSE else ")"
            self._try = re.compile(f"(?s:.{{0,{_POSITIONS - 1}}}?)(?:{own}{end}", pattern.flags & ~re.UNICODE)
        match = self._try.match
        return any(match(text, position) for position in range(0, len(text) + 1, _POSITIONS))


def _is_anchored(items: Iterable[tuple[Any, Any]], *, is_multiline: bool) -> bool:
    """Whether these items can match at the start of the text only."""
    for code, argument in items:
        if code is sre.AT:
            return argument is sre.AT_BEGINNING_STRING or (argument is sre.AT_BEGINNING and not is_multiline)
        if code is sre.SUBPATTERN:
            _, added, _, inner = argument
            return _is_anchored(inner, is_multiline=is_multiline or bool(added & re.MULTILINE))
        if code is sre.ATOMIC_GROUP:
            return _is_anchored(argument, is_multiline=is_multiline)
        if code is sre.BRANCH:
            return all(_is_anchored(inner, is_multiline=is_multiline) for inner in argument[1])
        if code not in _NO_TEXT:
            return False
    return False
