r"""What an expression itself matches right before and after a group: `<ADDR>\.\d+` expects a port behind a dot.

An address that is only a part of a longer word is none (`192.0.2.1.example.org`), unless the expression names the
character that joins them.
"""

import re
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from monitor.filters.subexpressions import LOOKS, REPEATS, Item, inside, tree_of

_WIDTHLESS = (sre.AT, *LOOKS)
_PORT = re.compile(r"\.[0-9]{1,5}(?![\w.])")


class Joint(NamedTuple):
    """The characters that an expression names on one side of a group, in lower case."""

    characters: frozenset[str] = frozenset()
    is_certain: bool = False
    """Whether each match has one of them there."""

    def expects(self, character: str) -> bool:
        """Whether every match continues with a character that the expression names, and it is this one."""
        return self.is_certain and character.lower() in self.characters

    def expects_port(self, text: str, position: int) -> bool:
        """Whether the text continues with a dot and a port, and the expression names the dot."""
        return "." in self.characters and _PORT.match(text, position) is not None


class Joints(NamedTuple):
    """Both sides of a group."""

    before: Joint = Joint()
    after: Joint = Joint()


def joints(pattern: re.Pattern[str], number: int) -> Joints:
    """Return what the expression names next to the group with this number."""
    tree = tree_of(pattern)
    return _find(list(tree), (), (), number) or Joints()


def _find(items: Sequence[Item], before: Sequence[Item], after: Sequence[Item], number: int) -> Joints | None:
    """Find the group among these items, which stand between `before` (nearest first) and `after`."""
    for index, (code, argument) in enumerate(items):
        left = (*reversed(items[:index]), *before)
        right = (*items[index + 1 :], *after)
        if code is sre.SUBPATTERN and argument[0] == number:
            return Joints(_edge(left, is_left=True), _edge(right, is_left=False))
        for inner in inside(code, argument):
            if found := _find(list(inner), left, right, number):
                return found
    return None


def _edge(items: Iterable[Item], *, is_left: bool) -> Joint:
    """Return the characters with which these items, nearest first, start (or end, on the left of the group)."""
    characters: set[str] = set()
    is_certain = True
    for code, argument in items:
        if code in _WIDTHLESS:
            continue
        if named := _named(code, argument):
            return Joint(frozenset(characters | named), is_certain)
        if not (sequences := inside(code, argument)):
            break
        edges = [_edge(reversed(list(inner)) if is_left else inner, is_left=is_left) for inner in sequences]
        characters.update(*(edge.characters for edge in edges))
        may_be_empty = (code in REPEATS and argument[0] == 0) or any(map(_may_be_empty, sequences))
        is_certain = is_certain and all(edge.is_certain for edge in edges)
        if not may_be_empty:
            return Joint(frozenset(characters), is_certain)
    return Joint(frozenset(characters))


def _named(code: Any, argument: Any) -> set[str]:
    """Return the characters of which an item matches one, if it names them."""
    if code is sre.LITERAL:
        return {chr(argument).lower()}
    if code is sre.IN and all(kind is sre.LITERAL for kind, _ in argument):
        return {chr(character).lower() for _, character in argument}
    return set()


def _may_be_empty(items: Iterable[Item]) -> bool:
    """Whether these items can match the empty text."""
    for code, argument in items:
        if code in _WIDTHLESS or (code in REPEATS and argument[0] == 0):
            continue
        sequences = inside(code, argument)
        if not sequences or not any(map(_may_be_empty, sequences)):
            return False
    return True
