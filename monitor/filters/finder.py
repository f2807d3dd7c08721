r"""Finds the candidates of blocks that have many: an attack, in which Hyperscan reports a match on most lines.

Each report of Hyperscan is a call of Python code, which costs more than the search. For a few expressions the native
finder (native/finder.c) is quicker there: one automaton (Aho and Corasick) looks for one text of each fragment, without
regard to case, and a program of the matcher confirms the whole fragment on the line. The result is the same.
"""

import re
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from monitor.filters.byte_sets import Untranslatable
from monitor.filters.program import compile_program
from monitor.native import extension

if TYPE_CHECKING:
    from monitor._native import Finder

_MAX_FRAGMENTS = 64
_MAX_STATES = 4096
_SHORTEST = 2
_PART = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.\*|.", re.DOTALL)
"""An escaped character, a class, any characters, or any other character of a fragment."""


def make_finder(fragments: Sequence[str]) -> "Finder | None":
    """Return the finder of these fragments (`fragments.required`); None where Hyperscan has to find them all."""
    if extension is None or len(fragments) > _MAX_FRAGMENTS:
        return None
    texts: dict[str, list[int]] = {}
    programs = []
    try:
        for number, fragment in enumerate(fragments):
            programs.append(extension.Program(compile_program(searched(fragment))))
            found = _texts(parser.parse(fragment))
            if not found or min(map(len, found)) < _SHORTEST:
                return None
            for text in found:
                if text.isascii():  # the finder reads nothing else
                    texts.setdefault(text, []).append(number)
    except (Untranslatable, re.error, ValueError):
        return None
    return _automaton(texts, programs)


def searched(fragment: str) -> re.Pattern[str]:
    """Return the expression that matches, at the start of a line, if the line contains the fragment.

    Where a piece of the fragment has one length, the first place where it fits is the best for the pieces that follow:
    the expression never returns to it, or attackers could make it try all places of all pieces.
    """
    found = []
    for piece in _pieces(fragment):
        shortest, longest = parser.parse(piece).getwidth()
        text = piece.replace(".*", ".*?")
        one = f".*?(?:{text})" if "|" in text else f".*?{text}"
        found.append(f"(?>{one})" if shortest == longest else one)
    return re.compile("".join(found))


def _pieces(fragment: str) -> list[str]:
    """Return what stands between each `.*` that is in no group."""
    pieces, depth = [""], 0
    for part in _PART.findall(fragment):
        depth += (part == "(") - (part == ")")
        if part == ".*" and not depth:
            pieces.append("")
        else:
            pieces[-1] += part
    return pieces


def _texts(items: Iterable[tuple[Any, Any]]) -> set[str]:
    """Return texts, in lower case, of which each match contains at least one: those that are longest; empty: none."""
    choices: list[set[str]] = []
    run = ""
    for code, argument in [*items, (None, None)]:
        if code is sre.LITERAL:
            run += chr(argument).lower()
            continue
        if run:
            choices.append({run})
            run = ""
        if code is sre.SUBPATTERN:
            choices.append(_texts(argument[3]))
        elif code is sre.BRANCH:
            branches = [_texts(branch) for branch in argument[1]]
            choices.append(set().union(*branches) if all(branches) else set())
    return max(choices, key=lambda texts: min(map(len, texts), default=0), default=set())


def _automaton(texts: dict[str, list[int]], programs: Sequence[Any]) -> "Finder | None":
    """Make the automaton: its states are the beginnings of the texts, that of the empty one is 0."""
    follow: list[dict[str, int]] = [{}]
    found: list[set[int]] = [set()]
    for text, numbers in texts.items():
        state = 0
        for character in text:
            if character not in follow[state]:
                follow[state][character] = len(follow)
                follow.append({})
                found.append(set())
            state = follow[state][character]
        found[state].update(numbers)
    if len(follow) > _MAX_STATES or extension is None:
        return None
    alphabet = sorted({character for text in texts for character in text})
    classes = bytearray(256)
    for number, character in enumerate(alphabet, 1):
        for byte in {character, character.upper()}:
            classes[ord(byte)] = number
    table = _table(follow, found, alphabet)
    starts = bytearray(1 << 13)
    for text in texts:
        for first in {text[0], text[0].upper()}:
            for second in {text[1], text[1].upper()}:
                pair = ord(first) << 8 | ord(second)
                starts[pair >> 3] |= 1 << (pair & 7)
    outputs = [tuple(sorted(numbers)) for numbers in found]
    finder: Finder = extension.Finder(bytes(classes), len(alphabet) + 1, table, bytes(starts), outputs, list(programs))
    return finder


def _table(follow: list[dict[str, int]], found: list[set[int]], alphabet: Sequence[str]) -> bytes:
    """Return the next state of each state, for each class of bytes; completes `found` by what ends inside of others."""
    width = len(alphabet) + 1
    table = array("H", bytes(2 * width * len(follow)))
    failed = [0] * len(follow)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        found[state] |= found[failed[state]]
        for number, character in enumerate(alphabet, 1):
            other = table[failed[state] * width + number] if state else 0
            if (after := follow[state].get(character)) is None:
                table[state * width + number] = other
            else:
                table[state * width + number] = after
                failed[after] = other
                queue.append(after)
    return table.tobytes()
