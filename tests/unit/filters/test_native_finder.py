"""The finder for dense blocks finds the lines that contain what an expression requires, as Hyperscan does."""

import re
from collections.abc import Sequence
from itertools import islice

import pytest

from bench.log_mutations import mutations
from monitor.filters.finder import make_finder, searched
from monitor.filters.library import built_in_names
from monitor.filters.log_filter import LogFilter
from monitor.filters.program import compile_program
from monitor.filters.scanner import BlockScanner
from tests.support.native import extension
from tests.unit.filters.builtin_support import definition_of, samples_of

_MUTATIONS = 40


def _found(fragments: Sequence[str], data: bytes) -> list[tuple[int, int, list[int]]]:
    candidates = extension().Candidates([(number,) for number in range(len(fragments))])
    finder = make_finder(fragments)
    assert finder is not None
    finder.search(data, candidates)
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
    data = b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines if line.isascii())
    found, expected = _found(fragments, data), _expected(fragments, data)
    assert all(one in found or _gives_up(fragments, data[one[0] : one[1]]) for one in expected)
    assert all(one in expected or _gives_up(fragments, data[one[0] : one[1]]) for one in found)


def _gives_up(fragments: Sequence[str], line: bytes) -> bool:
    """Whether the matcher gives up a line, which then is a candidate."""
    for fragment in fragments:
        try:
            extension().Program(compile_program(searched(fragment))).match(line)
        except extension().GaveUp:
            return True
    return False


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
