"""LAPI's answer is cut into its items however it arrives, and nothing else is taken for one."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.crowdsec.answer import Items, WireDecision, decode_decision
from monitor.crowdsec.durations import format_duration, parse_duration_s
from monitor.crowdsec.errors import LapiError

TEXTS = st.text(max_size=12) | st.sampled_from(['"', "\\", "},{", '"new":[', "]}", "{", "\n"])
DECISIONS = st.fixed_dictionaries(
    dict.fromkeys(("origin", "type", "scope", "value", "duration", "scenario"), TEXTS) | {"id": st.integers(0, 2**53)}
)
LISTS = st.none() | st.lists(DECISIONS, max_size=4)


def cut(chunks: list[bytes]) -> list[tuple[str, bytes]]:
    """Return all items of an answer that is over after these pieces."""
    items = Items()
    found = [one for chunk in chunks for one in items.feed(chunk)]
    items.finish()
    return found


def pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    """Cut content into pieces."""
    edges = sorted({0, len(content), *(one % (len(content) + 1) for one in cuts)})
    return [content[start:end] for start, end in pairwise(edges)]


@given(new=LISTS, deleted=LISTS, cuts=st.lists(st.integers(0, 5000), max_size=8), indent=st.none() | st.integers(0, 2))
def test_each_item_comes_out_as_it_went_in(
    new: list[dict[str, Any]] | None, deleted: list[dict[str, Any]] | None, cuts: list[int], indent: int | None
) -> None:
    """In any pieces, with any text in them, and with or without white space; either list may be null."""
    content = json.dumps({"deleted": deleted, "new": new}, indent=indent).encode()
    found = [(name, decode_decision(item)) for name, item in cut(pieces(content, cuts))]
    wanted = [("deleted", one) for one in deleted or ()] + [("new", one) for one in new or ()]
    assert found == [(name, WireDecision(**one)) for name, one in wanted]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>It works!</body></html>",
        b"null",
        b"[]",
        b"{}",
        b'{"message":"not allowed"}',
        b'{"deleted":null}',
        b'{"new":null',
        b'{"new":[{"id":1}',
        b'{"new":[{"id":1},]}',
        b'{"new":[{"id":1}{"id":2}]}',
        b'{"new":[{"id":{"a":1}}]}',
        b'{"new":null,"new":null}',
        b'{"new":null}garbage',
        b'{"new":null}{"new":null}',
        b'{"new":[' + b'{"id":"' + b"x" * 20_000,
        b"{" + b'"a":null,' * 2000 + b'"new":null}',
    ],
)
def test_what_is_no_answer_is_refused(content: bytes) -> None:
    """With a sentence for people, and never with another error."""
    with pytest.raises(LapiError):
        cut([content])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
def test_no_bytes_raise_another_error(content: bytes, cuts: list[int]) -> None:
    """Garbage is malformed, whatever it is."""
    for start in (b"", b'{"new":[', b'{"new":[{"a":"'):
        try:
            cut(pieces(start + content, cuts))
        except LapiError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h59m59.5s", 14399.5),
        ("-4m0.068717297s", -240.068717297),
        ("850.5ms", 0.8505),
        ("12µs", 12e-6),
        ("7ns", 7e-9),
        ("0s", 0.0),
        ("0", 0.0),
        ("2562047h47m16.854775807s", 9223372036.854776),
    ],
)
def test_a_duration_of_go(text: str, seconds: float) -> None:
    """All units, and negative ones."""
    assert parse_duration_s(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["", "-", "4", "h", "4x", "4h ", "1e9h", "--4h", "4h-3m", "∞h", "1" * 80 + "h"])
def test_what_is_no_duration(text: str) -> None:
    """It is a ValueError."""
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration_s(text)


@given(st.floats(0, 1e8))
def test_a_duration_is_read_as_it_was_written(seconds: float) -> None:
    """In whole seconds, and at least one."""
    assert parse_duration_s(format_duration(seconds)) == max(1, round(seconds))
