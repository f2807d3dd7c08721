"""Makes long lines that take an expression as much time as possible, from the expression itself.

An example of what the expression matches is made first. Then each of its repetitions is stretched, with every kind of
text that it can repeat, and what follows is there, nearly there, or missing: then `re` goes back and forth.
"""

import re
from collections.abc import Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple, TypeAlias

_CHARACTERS = 'a1 "\\:.,=/-[(<'
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)


class Piece(NamedTuple):
    """A part of an example, and what can be there many times."""

    text: str
    fillers: tuple[str, ...] = ()


class _Examples:
    """Examples of one expression; each alternative is taken `turn` by turn."""

    def __init__(
        self, turn: int, group: int | None = None, inside: tuple[Piece, ...] = (), *, has_fillers: bool = True
    ) -> None:
        self._turn = turn
        self._has_fillers = has_fillers
        self._group = group
        self._inside = inside
        self._texts: dict[int, str] = {}

    def pieces(self, items: Any) -> list[Piece]:
        """Return an example."""
        return [piece for code, argument in items for piece in self._of(code, argument)]

    def _of(self, code: Any, argument: Any) -> list[Piece]:
        if code is sre.SUBPATTERN:
            number, _, _, inner = argument
            found = list(self._inside) if number is not None and number == self._group else self.pieces(inner)
            if number is not None:
                self._texts[number] = text_of(found)
            return found
        if code is sre.ATOMIC_GROUP:
            return self.pieces(argument)
        if code is sre.BRANCH:
            return self.pieces(argument[1][self._turn % len(argument[1])])
        if code in _REPEATS:
            return self._repeated(*argument)
        if code is sre.GROUPREF:
            return [Piece(self._texts.get(argument, ""))]
        if code is sre.GROUPREF_EXISTS:
            return self.pieces(argument[1])
        members = _members(code, argument)
        return [Piece(members[0])] if members else []

    def _repeated(self, least: int, most: int, items: Any) -> list[Piece]:
        found = self.pieces(items)
        text = text_of(found)
        if most < 16:  # too few to matter
            return found if least or self._turn % 2 else []
        if not self._has_fillers:
            return [Piece(text * max(1, least))]
        fillers = {text}
        if len(items) == 1:
            fillers |= set(_members(*items[0]))
        for turn in range(6):
            fillers.add(text_of(_Examples(turn, has_fillers=False).pieces(items)))
        return [Piece(text * max(1, least), tuple(sorted(fillers - {""}))), *found[1:]]


def text_of(pieces: list[Piece]) -> str:
    """Return the text of an example."""
    return "".join(piece.text for piece in pieces)


def _members(code: Any, argument: Any) -> list[str]:
    """Return characters that one item matches, of different kinds; none if it matches no text."""
    if code is sre.LITERAL:
        return [chr(argument)]
    if code is sre.ANY:
        return list(_CHARACTERS)
    if code is sre.NOT_LITERAL:
        return [character for character in _CHARACTERS if ord(character) != argument]
    if code is sre.IN:
        return [character for character in _CHARACTERS if _is_in(argument, character)] or _listed(argument)
    return []


def _is_in(items: Any, character: str) -> bool:
    state = parser.State()
    state.str = ""
    tree = parser.SubPattern(state, [(sre.IN, items)])
    return re._compiler.compile(tree).match(character) is not None  # type: ignore[attr-defined]


def _listed(items: Any) -> list[str]:
    for code, argument in items:
        if code is sre.LITERAL:
            return [chr(argument)]
        if code is sre.RANGE:
            return [chr(argument[0])]
    return []


Parts: TypeAlias = tuple[str, str, str]
"""Text before, filler, and text after."""


def hostile_texts(pattern: re.Pattern[str], prefix: re.Pattern[str] | None = None) -> Iterator[Parts]:
    """Yield the parts of lines, each once.

    With a `prefix` (prefregex) the expression matches its group `content`.
    """
    seen = set()
    for turn in range(3):
        pieces = _Examples(turn).pieces(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))
        if prefix is not None and "content" in prefix.groupindex:
            outer = _Examples(turn, prefix.groupindex["content"], tuple(pieces))
            pieces = outer.pieces(parser.parse(prefix.pattern, prefix.flags & ~re.UNICODE))
        for position, piece in enumerate(pieces):
            before, after = text_of(pieces[:position]), text_of(pieces[position + 1 :])
            for filler in piece.fillers:
                for end in (after, after[:-1] + "\x01", "\x01"):
                    line = (before, filler, end)
                    if line not in seen and "\n" not in before + filler + end:
                        seen.add(line)
                        yield line


def stretched(parts: Parts, length: int) -> str:
    """Return the line of about `length` characters with its newline."""
    before, filler, after = parts
    return before + filler * max(1, (length - len(before) - len(after)) // len(filler)) + after + "\n"
