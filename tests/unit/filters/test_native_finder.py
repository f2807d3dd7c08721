"""The finder for dense blocks finds the lines that contain what an expression requires, as Hyperscan does."""

import re
from collections.abc import Sequence
from itertools import islice

import pytest

from bench.log_mutations import mutations
from monitor.filters.finder import make_finder
from monitor.filters.library import built_in_names
from monitor.filters.log_filter import LogFilter
from monitor.filters.scanner import BlockScanner
from tests.support.native import extension
from tests.unit.filters.builtin_support import definition_of, samples_of

_MUTATIONS = 40
_MOST = 0.9
"""The share of lines, most of them made to be odd, that the finder takes."""


def _found(fragments: Sequence[str], data: bytes) -> list[tuple[int, int, list[int]]] | None:
    """Return the candidates; None if the finder gave up."""
    candidates = extension().Candidates([(number,) for number in range(len(fragments))])
    finder = make_finder(fragments)
    assert finder is not None
    if not finder.search(data, candidates):
        return None
    candidates.join(data)
    return [(start, end, list(numbers)) for start, end, numbers in candidates]


def _expected(fragments: Sequence[str], data: bytes) -> list[tuple[int, int, list[int]]]:
    searches = [re.compile(fragment.encode()).search for fragment in fragments]
    found, start = [], 0
    for line in re.findall(rb"[^\n]*\n", data):
        end = start + len(line)
        if numbers := [number for number, search in enumerate(searches) if search(line)]:
            found.append((start, end, numbers))
        start = end
    return found


@pytest.mark.parametrize(
    ("fragments", "text"),
    [
        (["Failed.*for"], "Failed for\nfor Failed\nfailed for\nxFailed x for x\n"),
        (["(?i:failed)", "Fail"], "FAILED\nfail\nFail\n\nno\n"),
        (["(?:ab|bc.*d)", " b[cx]"], "ab\nbc\nbc d\nbx abc d\nabx\n"),
        (["aab", "ab", "b.*aa"], "aaab\nab aa\nb\naabaab\n"),
        (["he", "she", "hers"], "ushers\nhe\nshe\n"),
        (["ab"], "x\nab\n"),
        (["\\x5bab"], "[ab\nab\n[Ab\n"),
    ],
)
def test_lines_with_a_fragment_are_found(fragments: list[str], text: str) -> None:
    """Pieces in order on one line, with and without regard to case, texts inside of others, alternatives."""
    assert _found(fragments, text.encode()) == _expected(fragments, text.encode())


@pytest.mark.parametrize("name", built_in_names())
def test_all_filters_have_the_same_candidates(name: str) -> None:
    """Lines of the filter's corpus, mutated."""
    extension()
    fragments = list(dict.fromkeys(one.fragments for one in LogFilter(definition_of(name)).expressions.fail))
    if not all(fragments) or make_finder(fragments) is None:
        pytest.skip("some expression needs no text: every line is a candidate, or Hyperscan finds them")
    lines = [text.encode() for sample in samples_of(name) for text in sample.text]
    lines += islice(mutations(lines, 1), _MUTATIONS * len(lines))
    finder, ignored = make_finder(fragments), extension().Candidates([(0,)] * len(fragments))
    assert finder is not None
    whole = [line.replace(b"\n", b" ") + b"\n" for line in lines if line.isascii()]
    kept = [line for line in whole if finder.search(line, ignored)]
    assert len(kept) > _MOST * len(whole)
    data = b"".join(kept)
    assert _found(fragments, data) == _expected(fragments, data)


@pytest.mark.parametrize("fragment", ["ab.*cd.*ef.*gh", "ab.*(?:cd|dc).*(?i:ef).*gh", "[ab]b.*c[(].*.d.*gh"])
def test_no_line_makes_the_finder_go_back_and_forth(fragment: str) -> None:
    """Each piece is looked for once, so that a line on which all but the last stand often takes no longer."""
    extension()
    line = b"ab" * 500 + b"cdc(" * 500 + b"efxd" * 500
    assert _found([fragment], line + b"\n") == []
    assert _found([fragment], line + b"gh\n") == [(0, len(line) + 3, [0])]


def test_a_line_that_takes_too_long_is_left_to_hyperscan() -> None:
    """Where pieces differ in length and stand often, all of the block is searched anew, with the same candidates."""
    extension()
    fragments = ["(?:ab|abc).*(?:cd|cde).*(?:ef|efg).*gh", "ij"]
    data = b"ij\n" * 100 + (b"ab" * 100 + b"cd" * 100 + b"ef" * 100 + b" ij\n") * 3 + b"ab cd ef gh\n"
    assert _found(fragments, data) is None
    scanner = BlockScanner(fragments)
    expected = [(start, end, numbers) for start, end, numbers in _expected(fragments, data)]
    for _ in range(4):
        assert [(start, end, list(numbers or ())) for start, end, numbers in scanner.search(data)] == expected
    assert scanner.search(b"ij\n")
    assert scanner._finder_for(b"ij\n") is not None  # it is used again


def test_a_dense_log_is_searched_by_the_finder() -> None:
    """After a block in which most lines are candidates; one that is not ASCII, and a sparse one, go to Hyperscan."""
    extension()
    scanner = BlockScanner(["Failed.*for"])
    dense, sparse = b"Failed for\n" * 100, b"ordinary work\n" * 200 + b"Failed for\n"
    assert len(scanner.search(dense)) == 100
    finder = scanner._finder_for(dense)
    assert finder is not None
    assert list(scanner.search(dense)) == scanner.candidates(dense)
    assert scanner._finder_for("é\n".encode()) is None
    assert list(scanner.search(sparse)) == scanner.candidates(sparse)
    assert scanner._finder_for(sparse) is None
