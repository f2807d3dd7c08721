r"""The text that a line must contain for an expression to match, as an expression that Hyperscan can search for.

An expression for `re` is searched for the literal text that every match contains, in order: `^Failed \S+ for .* from
<HOST>` needs `Failed.* for.* from`. Lookaround, backreferences and conditions only restrict the matches further, so
they are skipped; Hyperscan's prefilter mode does the same. The result is cheaper to match than the prefilter mode's.
It also holds for the line before its date was cut out: a date is between two characters that are not part of a word, so
the text is split wherever two such characters meet.
"""

import re
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

from monitor.filters.subexpressions import tree_of

_MAX_BRANCHES = 64
_MAX_CLASS = 4
_MAX_PIECES = 16
_SHORTEST = 3
_GAP = ".*"
_TEXTS = re.compile(r"\.\*|\(\?i?:|[|)]")
"""What is between the literal texts of a piece."""
_UNSEARCHED = "\n\ufffd"
"""The newline ends the searched text, and U+FFFD replaces bytes that are not UTF-8."""

Tree: TypeAlias = Any
"""The parse tree of an expression: (opcode, argument) pairs of `re`'s parser."""

_Run: TypeAlias = list[str]
"""Consecutive characters; an item with several characters stands for any one of them."""


def required(pattern: re.Pattern[str], inner: re.Pattern[str] | None = None, group: str = "content") -> str:
    r"""Return an expression for Hyperscan that finds every line in which `pattern` may match; "" if there is none.

    `inner`, if given, takes the place of the group `group` of `pattern`. The result contains only literal text,
    alternatives and `.*`, and matches bytes: `\xc3\xa9` for an é.
    """
    found = None if inner is None else _Walk(inner).pieces()
    pieces = _Walk(pattern, found, pattern.groupindex.get(group)).pieces()
    pieces = _distinct(pieces)
    return _GAP.join(pieces) if sum(map(_weight, pieces)) >= _SHORTEST else ""


def _distinct(pieces: Sequence[str]) -> list[str]:
    """Leave out lighter pieces whose text is part of another's: Vectorscan 5.4.12 misses lines with such text twice."""
    kept: list[tuple[int, set[str]]] = []
    for index in sorted(range(len(pieces)), key=lambda index: (-_weight(pieces[index]), index)):
        texts = {_read(text).lower() for text in _TEXTS.split(pieces[index]) if text}
        if not any(one in other or other in one for _, others in kept for other in others for one in texts):
            kept.append((index, texts))
    return [pieces[index] for index in sorted(index for index, _ in kept)]


def may_be_empty(pattern: re.Pattern[str], group: str) -> bool:
    """Whether a group of an expression may match the empty text."""
    tree = tree_of(pattern)
    found = _find(tree, pattern.groupindex[group])
    return found is None or found.getwidth()[0] == 0


def _find(part: Any, number: int) -> Tree | None:
    """Return the content of a group at any depth of the tree."""
    if isinstance(part, tuple) and len(part) == 2 and part[0] is sre.SUBPATTERN and part[1][0] == number:
        return part[1][3]
    if isinstance(part, (tuple, list, parser.SubPattern)):
        return next((found for inner in part if (found := _find(inner, number)) is not None), None)
    return None


class _Walk:
    """Collects the required pieces of one expression; pieces that are too short to be useful are left out."""

    def __init__(
        self, pattern: re.Pattern[str], inner: Sequence[str] | None = None, inner_group: int | None = None
    ) -> None:
        self._tree = tree_of(pattern)
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
        """Add the text that these items require to `pieces`; return the text that the next item may continue."""
        for code, argument in items:
            if code is sre.LITERAL and chr(argument) not in _UNSEARCHED:
                run.append(chr(argument))
            elif code is sre.IN and (characters := _class(argument)):
                run.append(characters)
            elif code in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
                continue  # matches no text
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
        """Handle repetitions of at least once, and alternatives that all require some text."""
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
        """Add a run of characters, one piece for each part that cannot contain a date."""
        part: _Run = []
        for characters in [*run, "  "]:
            is_border = not _is_word(characters) and (not part or not _is_word(part[-1]))
            if is_border or (is_caseless and not characters.isascii()) or characters == "  ":
                # Vectorscan 5.4.12 misses two-byte matches with a character class, or of two-byte alternatives.
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
    """Whether each position matches exactly one byte."""
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


def _read(text: str) -> str:
    """Take back what `_escape` did."""
    return re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), text)


def _weight(piece: str) -> int:
    """Return how many characters a piece requires, counting its shortest alternative."""
    if piece.startswith("(?:"):
        return min(len(alternative.replace(_GAP, "")) for alternative in piece[3:-1].split("|"))
    return len(piece.removeprefix("(?i:").removesuffix(")").replace("\\x", ""))
