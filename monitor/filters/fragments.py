r"""What every text that an expression matches must contain, as an expression that Hyperscan can search for.

An expression of `re` is walked for the literal text that it cannot match without, in order: `^Failed \S+ for .* from
<HOST>` needs `Failed.* for.* from`. Lookaround, backreferences and conditions only make fewer texts match, so they are
passed over; Hyperscan's own prefilter mode does the same. What we find is cheaper to match, and it holds although the
date was cut out of the text that `re` sees: dates stand between characters of which none is part of a word, so text is
split where two such meet.
"""

import re
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

_MAX_BRANCHES = 64
_MAX_CLASS = 4
_MAX_PIECES = 16
_SHORTEST = 3
_GAP = ".*"
_UNSEARCHED = "\n\ufffd"
"""The newline ends what is searched in, and U+FFFD stands for bytes that are no UTF-8."""

Tree: TypeAlias = Any
"""What `re`'s parser makes of an expression: (opcode, argument) pairs."""

_Run: TypeAlias = list[str]
"""Characters that follow each other; one that may be any of several stands as their text."""


def required(pattern: re.Pattern[str], inner: re.Pattern[str] | None = None, group: str = "content") -> str:
    r"""Return an expression for Hyperscan that finds all lines in which `pattern` may match; "" if nothing is required.

    With `inner`, that one stands in the place of the group `group` of `pattern`. The result holds literal text,
    alternatives and `.*` only; it is in bytes' terms: `\xc3\xa9` for an é.
    """
    found = None if inner is None else _Walk(inner).pieces()
    pieces = _Walk(pattern, found, pattern.groupindex.get(group)).pieces()
    return _GAP.join(pieces) if sum(map(_weight, pieces)) >= _SHORTEST else ""


def may_be_empty(pattern: re.Pattern[str], group: str) -> bool:
    """Whether a group of an expression may match nothing at all."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    found = _find(tree, pattern.groupindex[group])
    return found is None or found.getwidth()[0] == 0


def _find(part: Any, number: int) -> Tree | None:
    """Return what is in a group, wherever in the tree it is."""
    if isinstance(part, tuple) and len(part) == 2 and part[0] is sre.SUBPATTERN and part[1][0] == number:
        return part[1][3]
    if isinstance(part, (tuple, list, parser.SubPattern)):
        return next((found for inner in part if (found := _find(inner, number)) is not None), None)
    return None


class _Walk:
    """One expression's required pieces; text that is required but splits into nothing useful is left out."""

    def __init__(
        self, pattern: re.Pattern[str], inner: Sequence[str] | None = None, inner_group: int | None = None
    ) -> None:
        self._tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
        self._is_caseless = bool(pattern.flags & re.IGNORECASE)
        self._inner = inner
        self._inner_group = inner_group

    def pieces(self) -> list[str]:
        pieces: list[str] = []
        run = self._sequence(self._tree, pieces, [], self._is_caseless)
        self._flush(run, pieces, self._is_caseless)
        if self._inner is not None and self._inner_group is None:
            return list(self._inner)
        return pieces[:_MAX_PIECES]

    def _sequence(self, items: Iterable[tuple[Any, Any]], pieces: list[str], run: _Run, is_caseless: bool) -> _Run:  # noqa: FBT001
        """Add what these items require to `pieces`; return the text that may still go on."""
        for code, argument in items:
            if code is sre.LITERAL and chr(argument) not in _UNSEARCHED:
                run.append(chr(argument))
            elif code is sre.IN and (characters := _class(argument)):
                run.append(characters)
            elif code in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
                continue  # no text of its own
            elif code is sre.SUBPATTERN:
                run = self._group(argument, pieces, run, is_caseless)
            elif code is sre.ATOMIC_GROUP:
                run = self._sequence(argument, pieces, run, is_caseless)
            else:
                self._flush(run, pieces, is_caseless)
                run = []
                self._other(code, argument, pieces, is_caseless)
        return run

    def _group(self, argument: Any, pieces: list[str], run: _Run, is_caseless: bool) -> _Run:  # noqa: FBT001
        number, added, removed, items = argument
        if self._inner is not None and number is not None and number == self._inner_group:
            self._flush(run, pieces, is_caseless)
            pieces += self._inner
            return []
        inside = (is_caseless or bool(added & re.IGNORECASE)) and not removed & re.IGNORECASE
        if inside == is_caseless:
            return self._sequence(items, pieces, run, is_caseless)
        self._flush(run, pieces, is_caseless)
        self._flush(self._sequence(items, pieces, [], inside), pieces, inside)
        return []

    def _other(self, code: Any, argument: Any, pieces: list[str], is_caseless: bool) -> None:  # noqa: FBT001
        """Take what repeats at least once, and alternatives that all require something."""
        if code in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, _, items = argument
            if least:
                self._flush(self._sequence(items, pieces, [], is_caseless), pieces, is_caseless)
        elif code is sre.BRANCH:
            self._branch(argument[1], pieces, is_caseless)
        elif code is sre.GROUPREF_EXISTS:
            _, yes, no = argument
            self._branch([yes, no or []], pieces, is_caseless)

    def _branch(self, branches: Sequence[Tree], pieces: list[str], is_caseless: bool) -> None:  # noqa: FBT001
        alternatives = []
        for branch in branches:
            inside: list[str] = []
            self._flush(self._sequence(branch, inside, [], is_caseless), inside, is_caseless)
            if not inside or sum(map(_weight, inside)) < _SHORTEST:
                return
            alternatives.append(_GAP.join(inside[:_MAX_PIECES]))
        if len(alternatives) <= _MAX_BRANCHES:
            pieces.append(f"(?:{'|'.join(dict.fromkeys(alternatives))})")

    @staticmethod
    def _flush(run: _Run, pieces: list[str], is_caseless: bool) -> None:  # noqa: FBT001
        """Write a run of characters as one piece for each part in which no date can have stood."""
        part: _Run = []
        for characters in [*run, "  "]:
            is_border = not _is_word(characters) and (not part or not _is_word(part[-1]))
            if is_border or (is_caseless and not characters.isascii()) or characters == "  ":
                # Vectorscan 5.4.12 loses matches of two bytes of which one may be several (so do alternatives of two).
                if any(map(_is_word, part)) and (len(part) != 2 or _is_fixed(part, is_caseless=is_caseless)):
                    pieces.append(_write(part, is_caseless=is_caseless))
                part = []
            if not (is_caseless and not characters.isascii()):
                part.append(characters)


def _class(items: Sequence[tuple[Any, Any]]) -> str:
    """Return the characters of a small class; "" for any other."""
    if len(items) > _MAX_CLASS or any(code is not sre.LITERAL for code, _ in items):
        return ""
    characters = "".join(chr(argument) for _, argument in items)
    return characters if characters.isascii() and "\n" not in characters else ""


def _is_word(characters: str) -> bool:
    return all(character.isalnum() or character == "_" for character in characters)


def _is_fixed(part: _Run, *, is_caseless: bool) -> bool:
    """Whether each place holds one certain byte."""
    return all(len(text) == 1 and not (is_caseless and text.lower() != text.upper()) for text in part)


def _write(part: _Run, *, is_caseless: bool) -> str:
    text = "".join(
        _escape(characters) if len(characters) == 1 else f"[{''.join(map(_escape, characters))}]" for characters in part
    )
    return f"(?i:{text})" if is_caseless else text


def _escape(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogatepass"))


def _weight(piece: str) -> int:
    """Return how many characters a piece asks for, of its weakest alternative."""
    if piece.startswith("(?:"):
        return min(len(alternative.replace(_GAP, "")) for alternative in piece[3:-1].split("|"))
    return len(piece.removeprefix("(?i:").removesuffix(")").replace("\\x", ""))
