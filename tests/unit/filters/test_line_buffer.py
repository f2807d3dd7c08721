"""The last lines of a log, held for expressions that span several."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.filters.line_buffer import LineBuffer
from monitor.filters.tags import compile_expression

_MAX_CHARACTERS = 65_536


def _filled(maxlines: int, *lines: str) -> tuple[LineBuffer, str]:
    buffer = LineBuffer(maxlines)
    text = ""
    for line in lines:
        text = buffer.add(f"{line}\n")
    return buffer, text


def _match(expression: str, text: str) -> re.Match[str]:
    match = compile_expression(expression, is_multiline=True).search(text)
    assert match is not None
    return match


@given(st.lists(st.text("ab\r\x85\u2028", max_size=4), min_size=1, max_size=12), st.integers(2, 6))
def test_holds_the_last_lines(lines: list[str], maxlines: int) -> None:
    """The text is the last lines, in their order, whatever else than newlines might end a line."""
    _, text = _filled(maxlines, *lines)
    assert text == "".join(f"{line}\n" for line in lines[-maxlines:])


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=12), st.integers(2, 100))
def test_is_bounded(lengths: list[int], maxlines: int) -> None:
    """Long lines push out older ones so that no more than 65,536 characters stay, but never the last line itself."""
    lines = ["x" * length + "\n" for length in lengths]
    buffer = LineBuffer(maxlines)
    for number, line in enumerate(lines):
        text = buffer.add(line)
        assert text.endswith(line)
        assert len(text) <= _MAX_CHARACTERS
        kept = text.count("\n")
        assert text == "".join(lines[number + 1 - kept : number + 1])
        is_full = kept in (maxlines, number + 1)
        assert is_full or len(text) + len(lines[number - kept]) > _MAX_CHARACTERS


def test_one_line_longer_than_all() -> None:
    """A line longer than the bound stays alone."""
    buffer, _ = _filled(5, "a", "b")
    long = "x" * (_MAX_CHARACTERS + 1) + "\n"
    assert buffer.add(long) == long
    assert buffer.add("c\n") == "c\n"


def test_takes_the_lines_of_a_match() -> None:
    """A match takes the lines from its first to its last; those around stay."""
    buffer, text = _filled(9, "0", "a", "b", "9")
    assert buffer.take(_match(r"^a\nb$", text)) == "a\nb\n"
    assert buffer.add("x\n") == "0\n9\nx\n"


def test_takes_the_newline_at_the_end() -> None:
    """A match that includes its last line's newline does not reach into the next line."""
    buffer, text = _filled(9, "a", "b", "c")
    assert buffer.take(_match(r"^a\nb\n", text)) == "a\nb\n"
    assert buffer.add("x\n") == "c\nx\n"


def test_leaves_skipped_lines() -> None:
    """What <SKIPLINES> skipped stays for other expressions, in its order; of equal lines one each."""
    buffer, text = _filled(9, "x", "a", "x", "y", "b", "z")
    assert buffer.take(_match("^a<SKIPLINES>b$", text)) == "a\nb\n"
    assert buffer.add("!\n") == "x\nx\ny\nz\n!\n"


def test_skips_nothing() -> None:
    """A match that skipped no line takes all of its own."""
    buffer, text = _filled(9, "a", "b")
    assert buffer.take(_match("^a<SKIPLINES>b$", text)) == "a\nb\n"
    assert buffer.add("!\n") == "!\n"


def test_an_empty_match() -> None:
    """A match of no text takes the line in which it stands."""
    buffer, text = _filled(9, "a", "b")
    assert buffer.take(_match("(?=b)", text)) == "b\n"
    assert buffer.add("!\n") == "a\n!\n"


@pytest.mark.parametrize("mark", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_leaves_skipped_lines_with_marks(mark: str) -> None:
    """A skipped line stays too where it holds characters that Unicode counts as ends of lines."""
    buffer, text = _filled(9, "a", f"other{mark}line", "b")
    assert buffer.take(_match("^a<SKIPLINES>b$", text)) == "a\nb\n"
    assert buffer.add("!\n") == f"other{mark}line\n!\n"


@given(st.data(), st.lists(st.sampled_from("abxyz"), min_size=1, max_size=8))
def test_nothing_is_lost_nor_doubled(data: st.DataObject, lines: list[str]) -> None:
    """What a match takes and what stays are, together, the lines that were held."""
    buffer, text = _filled(8, *lines)
    expression = data.draw(st.sampled_from(["^a<SKIPLINES>b$", "^a$", r"^a\n", "^x<SKIPLINES>y<SKIPLINES>z$", "[ab]"]))
    match = compile_expression(expression, is_multiline=True).search(text)
    if match is None:
        return
    taken = buffer.take(match).splitlines()
    kept = buffer.add("!\n").splitlines()[:-1]
    skipped = sum((value or "").count("\n") for name, value in match.groupdict().items() if name.startswith("skip"))
    assert sorted(taken + kept) == sorted(lines)
    assert len(taken) == match[0].rstrip("\n").count("\n") + 1 - skipped
