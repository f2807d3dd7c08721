"""Expressions and texts on which the native matcher could differ from `re`, and words that are no valid program."""

import functools
import random
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice

from bench.log_mutations import filters, mutations
from monitor import native
from monitor.filters.byte_sets import Untranslatable
from monitor.filters.definition import FilterDefinition
from monitor.filters.expressions import Expressions
from monitor.filters.fusion import Fusion
from monitor.filters.program import compile_program
from monitor.filters.tags import compile_expression

_ITEMS = (
    *("a", "b", "A", "1", " ", r"\n", ".", r"\w", r"\d", r"\s", r"\W", r"\S", r"\D", "[ab]", "[^a]", "[a-b1]"),
    *(r"[^\w]", "_", "ab", "ba", "a1b", "^", "$", r"\A", r"\Z", r"\b", r"\B", "k", "[^\xe9]", "\xe9"),
)
_BEHIND = ("a", "b", "ab", "[ab]", "a.", r"\w\W", "^a", "(?:a|b)b")
_REPEATS = (
    *("*", "+", "?", "*?", "+?", "??", "*+", "?+", "++", "{2}", "{1,2}", "{0,2}?", "{1,2}+"),
    *("{1,5}", "{1,6}?", "{4,}", "{5}", "{0,5}?", "{2,7}"),
)
_TEXT = "aaabbAB1 \n_-k"
_FLAGS = (0, 0, 0, re.IGNORECASE, re.MULTILINE, re.DOTALL, re.ASCII, re.IGNORECASE | re.MULTILINE)
_SYNTAX = ("(", ")", "(?:", "(?>", "(?=", "(?!", "|", r"\1", "(?i:")
_TOKENS = tuple(text.encode() for text in (*_ITEMS, *_REPEATS, *_SYNTAX))
_WORDS = (0, 1, 2, 3, 5, 7, 127, 128, 255, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_FIRST_WORDS = 8
_SHORT = 2000
"""Steps that a program of unknown words may take."""


class Generator:
    """Writes random expressions and texts."""

    def __init__(self, choose: random.Random) -> None:
        """Take all choices from `choose`."""
        self._choose = choose
        self._groups = 0

    def expression(self) -> re.Pattern[str]:
        """Return an expression that `re` compiles."""
        while True:
            self._groups = 0
            text = self._alternatives(3)
            if (pattern := _compiled(text, self._choose.choice(_FLAGS))) is not None:
                return pattern

    def text(self) -> str:
        """Return a short text in the letters of the expressions."""
        return "".join(self._choose.choices(_TEXT, k=self._choose.choice((1, 2, 3, 5, 8, 14))))

    def _alternatives(self, depth: int) -> str:
        return "|".join(self._sequence(depth) for _ in range(self._choose.choice((1, 1, 1, 2, 3))))

    def _sequence(self, depth: int) -> str:
        parts = []
        for _ in range(self._choose.choice((1, 1, 2, 2, 3, 4))):
            part = self._item(depth)
            if self._choose.random() < 0.35:
                part = (f"(?:{part})" if len(part) > 1 else part) + self._choose.choice(_REPEATS)
            parts.append(part)
        return "".join(parts)

    def _item(self, depth: int) -> str:
        kind = self._choose.randrange(24)
        if depth <= 0 or kind < 11:
            return self._choose.choice(_ITEMS)
        if kind < 14:
            self._groups += 1
            return f"({self._alternatives(depth - 1)})"
        if kind < 20:
            opening = self._choose.choice(("?:", "?:", "?:", "?>", "?=", "?!", "?i:", "?s:", "?m:", "?-i:"))
            return f"({opening}{self._alternatives(depth - 1)})"
        if kind < 22 or not self._groups:
            return f"({self._choose.choice(('?<=', '?<!'))}{self._choose.choice(_BEHIND)})"
        group = self._choose.randint(1, self._groups)
        if kind == 22:
            return f"\\{group}"
        return f"(?({group}){self._sequence(depth - 1)}|{self._sequence(depth - 1)})"


class Outcome:
    """Compares one expression with its program."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        """Compile the program; Untranslatable if there is none. Needs the native extension."""
        assert native.extension is not None
        self._pattern = pattern
        self._program = native.extension.Program(compile_program(pattern))
        self.matches = 0
        """Texts that both matched."""
        self.given_up = 0
        """Texts that the program left to `re`."""

    def difference(self, text: str, start: int = 0) -> str:
        """Return both results for an ASCII text if they differ, else an empty string."""
        assert native.extension is not None
        match = self._pattern.match(text, start)
        expected = spans(match)
        try:
            ours = self._program.match(text.encode(), start)
        except native.extension.GaveUp:
            self.given_up += 1
            return ""
        self.matches += match is not None
        if ours == expected:
            return ""
        return f"{self._pattern!r} on {text!r} from {start}: {ours}, re finds {expected}"


def spans(match: re.Match[str] | None) -> tuple[int, ...] | None:
    """Return start and end of each group, as programs report them."""
    return match and tuple(place for group in range(match.re.groups + 1) for place in match.span(group))


def expressions_of(definition: FilterDefinition) -> Iterator[re.Pattern[str]]:
    """Yield all that lines of a filter are matched with, except dates."""
    expressions = Expressions(definition)
    fusion = Fusion(expressions)
    if expressions.prefix:
        yield expressions.prefix.pattern
    for number, expression in enumerate(expressions.fail):
        yield expression.pattern
        if fused := fusion.plain(number):
            yield fused.pattern
    for text in definition.ignoreregex:
        yield compile_expression(text, is_multiline=definition.maxlines > 1)


def mutated_texts(lines: Sequence[bytes], count: int, seed: int) -> list[str]:
    """Return what follows each of the first words in lines and in mutations of them: dates are not matched here.

    Only ASCII, never empty, each with its newline.
    """
    tried = [*islice(lines, count), *islice(mutations(lines, seed), count)]
    texts = [line.decode() + "\n" for line in tried if line.isascii()]
    return [text[start:] for text in texts for start in (0, *islice(_word_starts(text), _FIRST_WORDS))]


def _word_starts(text: str) -> Iterator[int]:
    return (match.end() for match in re.finditer(r"\s\b|: |\] ", text) if match.end() < len(text))


@functools.cache
def expression_seeds() -> list[bytes]:
    """Return seeds of the target `expressions`: expressions of filters, each with a line."""
    found = []
    for definition, lines in filters()[::5]:
        found += [pattern.pattern.encode() + b"\0" + lines[0] for pattern in islice(expressions_of(definition), 2)]
    return found


def program_seeds() -> list[bytes]:
    """Return seeds of the target `programs`: valid programs."""
    generator = Generator(random.Random(1))
    found: list[bytes] = []
    while len(found) < 200:
        try:
            found.append(compile_program(generator.expression()))
        except Untranslatable:
            continue
    return found


def compare_input(raw: bytes) -> str:
    r"""Compare an expression and the text after its \0, if there is a program; return the difference."""
    expression, _, text = raw.partition(b"\0")
    if not raw.isascii() or not text or (pattern := _compiled(expression.decode(), 0)) is None:
        return ""
    try:
        outcome = Outcome(pattern)
    except Untranslatable:
        return ""
    return outcome.difference(text.decode())


def run_words(raw: bytes) -> str:
    """Load and run whatever the words are: sanitizers see what goes wrong; return an empty string."""
    assert native.extension is not None
    try:
        program = native.extension.Program(raw)
    except ValueError:
        return ""
    for text in (b"aab abb\n", b"\n", b"Failed 1a_b A" * 40):
        for start in (0, 1):
            try:
                program.match(text, start, _SHORT)
            except native.extension.GaveUp:
                continue
    return ""


def mutate_words(choose: random.Random, raw: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change words of a program."""
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)] or [b"\1\0\0\0"]
    at = choose.randrange(len(words))
    kind = choose.randrange(5)
    if kind == 0:
        words[at] = choose.choice(_WORDS).to_bytes(4, "little")
    elif kind == 1:
        words[at] = choose.randrange(30).to_bytes(4, "little")
    elif kind == 2:
        words[at] = choose.choice(words)
    elif kind == 3:
        words[at:] = [word for word in words[at:] if choose.random() < 0.9]
    else:
        other = choose.choice(seeds)
        words[at:] = [other[at * 4 :]]
    return b"".join(words)


def mutate_input(choose: random.Random, raw: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change an expression or its text at one position."""
    at = choose.randrange(len(raw) + 1)
    kind = choose.randrange(5)
    if kind == 0:
        return raw[:at] + choose.choice(_TOKENS) + raw[at:]
    if kind == 1:
        return raw[:at] + raw[at + choose.randrange(1, 8) :]
    if kind == 2:
        return raw[:at] + bytes([choose.randrange(128)]) + raw[at + 1 :]
    if kind == 3:
        return raw[:at] + raw[at : at + choose.randrange(1, 30)] + raw[at:]
    other = choose.choice(seeds)
    return raw[:at] + other[choose.randrange(len(other) + 1) :]


def _compiled(text: str, flags: int) -> re.Pattern[str] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(text, flags)
        except (re.error, OverflowError, RecursionError, ValueError):
            return None
