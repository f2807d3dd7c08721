"""Programs of the native matcher find what `re` finds, or leave the text to it; no words make the matcher err."""

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.fuzz_program import (
    Generator,
    Outcome,
    expressions_of,
    mutate_words,
    mutated_texts,
    program_seeds,
    run_words,
)
from bench.log_mutations import built_in_filters
from monitor.filters.byte_sets import Untranslatable
from monitor.filters.program import compile_program
from tests.support.native import extension

_LINES = (
    ("Failed password for root from 192.0.2.1 port 22\n", r"Failed \S+ for (?P<user>.*) from (\S+)(?: port \d+)?$"),
    ("FAILED  password\n", r"(?i)failed\s+PASSWORD"),
    ("aab abb\n", r"(?>a+)b(?= a)"),
    ("aab abb\n", r"(a+?)(b|bb)\b"),
    (" x  =1", r"\s*(x)?\s*(?(1)=|\S)\d{1,3}"),
    ("AbAb__\n\n", r"(?:Ab){2,5}_*"),
    ("abac", r"(?:(a)|(b)|(c))*"),
    ("A_B", r"(?>[^a].+\w)| \A"),
    ("bbaaaaabaaaaaa", r"(?:.\B(?:ba){0,5}?){0,5}?ab"),
)
"""Texts that match an expression; each was once, or could have been, matched in another way."""


@pytest.mark.parametrize(("text", "expression"), _LINES)
def test_programs_match_as_re_does(text: str, expression: str) -> None:
    """Whether it matches, where, and all groups."""
    extension()
    outcome = Outcome(re.compile(expression))
    assert not outcome.difference(text)
    assert outcome.matches == 1


@settings(max_examples=40)
@given(st.integers(0, 2**48))
@example(5)
def test_random_expressions_match_as_re_does(seed: int) -> None:
    """Random expressions over random texts, from their start and from their second character."""
    extension()
    generator = Generator(random.Random(seed))
    for _ in range(6):
        try:
            outcome = Outcome(generator.expression())
        except Untranslatable:
            continue
        for number in range(8):
            assert not outcome.difference(generator.text(), number % 2)


def test_expressions_of_the_built_in_filters_match_as_re_does() -> None:
    """All of them have programs, which agree with `re` about the samples of the filter and mutations of these."""
    extension()
    matches = 0
    for number, (definition, lines) in enumerate(built_in_filters()):
        texts = mutated_texts(lines, 5, number)
        for pattern in expressions_of(definition):
            outcome = Outcome(pattern)
            assert not [found for text in texts if (found := outcome.difference(text))]
            assert outcome.given_up < len(texts) / 2
            matches += outcome.matches
    assert matches > 500


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"(?:a*)*", "repeats what may be empty"),
        (r"(?:ab|a)++", "a possessive repeat of a sequence"),
        (r"(?i)(a)\1", "a reference that ignores case"),
        ("(?i)\u212a", "it has characters beyond ASCII"),
    ],
)
def test_what_is_not_surely_the_same_is_refused(expression: str, why: str) -> None:
    """The text says why: `re` decides such lines, as it does without the extension."""
    with pytest.raises(Untranslatable, match=why):
        compile_program(re.compile(expression))


@pytest.mark.parametrize("expression", [r"(?:a|a)+b", r"(?:a+)+b", r"(?:a?){0,1}a*a*a*a*a*b", r"(?:(?:aa|a)+c?)+b"])
def test_catastrophic_expressions_give_up(expression: str) -> None:
    """A text that `re` would look at for hours ends after the steps that are allowed."""
    native = extension()
    program = native.Program(compile_program(re.compile(expression)))
    with pytest.raises(native.GaveUp):
        program.match(b"a" * 5000)


def test_long_texts_are_matched_or_left_to_re() -> None:
    """Neither the length of a line nor the places to go back to can exhaust memory."""
    native = extension()
    text = b"ab" * 30_000
    assert native.Program(compile_program(re.compile("(?:ab)*$"))).match(text, 0, 10**6) == (0, 60_000)
    with pytest.raises(native.GaveUp):
        native.Program(compile_program(re.compile(r"(?:a.)*\wc"))).match(text, 0, 10**6)


def test_words_that_are_no_program_are_refused_or_harmless() -> None:
    """Mutated programs are refused or run without leaving their words and the text (see `make sanitize`)."""
    native = extension()
    seeds = program_seeds()
    choose = random.Random(3)
    for number in range(3000):
        assert not run_words(mutate_words(choose, seeds[number % len(seeds)], seeds))
    for words in (b"", b"1", b"\0" * 24, seeds[0] + b"\0", seeds[0] + b"\0\0\0\0", seeds[0][:-4]):
        with pytest.raises(ValueError, match=r"."):
            native.Program(words)


def test_text_beyond_ascii_is_refused() -> None:
    """Wherever in the text it stands: eight bytes are checked at a time, the last ones singly."""
    program = extension().Program(compile_program(re.compile(r"a*")))
    for length in range(1, 26):
        assert program.match(b"a" * length) == (0, length)
        for position in range(length):
            text = bytearray(b"a" * length)
            for byte in (0x80, 0xFF):
                text[position] = byte
                with pytest.raises(ValueError, match="not ASCII"):
                    program.match(bytes(text))
