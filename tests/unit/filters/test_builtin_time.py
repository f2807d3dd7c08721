"""The time that the built-in filters take on a line grows in proportion to its length."""

import re
import time
from collections.abc import Container, Iterable, Iterator

import pytest

from monitor.filters.definition import FilterDefinition
from monitor.filters.library import built_in_names
from monitor.filters.log_filter import LogFilter
from tests.support.hostile_lines import Parts, hostile_texts, stretched
from tests.unit.filters.builtin_support import NOW_S, definition_of, hits, references
from tests.unit.filters.test_builtin_hostile import FILLERS

_SCREENED = 1_024
_SHORT, _LONG = 8_192, 32_768
_MOST = 8.0
"""Of the time on a long line to that on a short one, of four times the length: a square would be 16 times as much."""
_WORST = 2


def _cost_s(log_filter: LogFilter, number: int, line: str, tries: int) -> float:
    """Return the CPU time that an expression takes on a line, the least of some tries, in seconds."""
    costs = []
    for _ in range(tries):
        start_s = time.thread_time()
        log_filter.examine(line, (number,), NOW_S, NOW_S)
        costs.append(time.thread_time() - start_s)
    return min(costs)


def _hostile(log_filter: LogFilter, known: Container[str] = ()) -> Iterator[tuple[int, Parts]]:
    """Yield the parts of lines made for each expression that is not known yet."""
    prefix = log_filter.expressions.prefix
    for number, expression in enumerate(log_filter.expressions.fail):
        if expression.text not in known:
            for parts in hostile_texts(expression.pattern, prefix.pattern if prefix else None):
                yield number, parts


def _spoilt(name: str, log_filter: LogFilter) -> Iterator[tuple[int, Parts]]:
    """Yield the parts of real lines with all kinds of text in between, and the expression that matches the line."""
    texts = {expression.text: number for number, expression in enumerate(log_filter.expressions.fail)}
    for reference, text, line in hits():
        if reference.partition("[")[0] == name and text in texts:
            places = [match.start() for match in re.finditer(r"\b", line)]
            for place in places[:: max(1, len(places) // 5)]:
                for filler in FILLERS:
                    yield texts[text], (line[:place], filler, line[place:])


@pytest.mark.parametrize("name", built_in_names())
def test_the_worst_lines_take_time_by_their_length(name: str) -> None:
    """Of all lines made to be slow, those that take the longest take about four times as long at four times the length.

    Compared are times of the same machine at the same moment, the least of several.
    """
    known: set[str] = set()
    for reference in (reference for reference in references() if reference.partition("[")[0] == name):
        log_filter = LogFilter(definition_of(reference))
        lines = [*_hostile(log_filter, known), *(() if known else _spoilt(name, log_filter))]
        known.update(expression.text for expression in log_filter.expressions.fail)
        for number, parts in _worst(log_filter, lines):
            ratio = _ratio(log_filter, number, parts)
            assert ratio < _MOST, (ratio, log_filter.definition.failregex[number], parts)


def _worst(log_filter: LogFilter, lines: Iterable[tuple[int, Parts]]) -> list[tuple[int, Parts]]:
    """Return those of the lines that take the longest, with the expression that takes it."""
    costs = [(_cost_s(log_filter, number, stretched(parts, _SCREENED), 1), number, parts) for number, parts in lines]
    return [(number, parts) for _, number, parts in sorted(costs, reverse=True)[:_WORST]]


def _ratio(log_filter: LogFilter, number: int, parts: Parts, short: int = _SHORT, long: int = _LONG) -> float:
    long_s = _cost_s(log_filter, number, stretched(parts, long), 3)
    return long_s / _cost_s(log_filter, number, stretched(parts, short), 5)


@pytest.mark.parametrize(
    "expression", [r"^\s*(?:a )?\s*x <ADDR>$", r"^\S+ from \S*a\S*a <ADDR>$", "^(?:.*a)?.*b <ADDR>$"]
)
def test_the_measure_finds_what_takes_the_square_of_the_length(expression: str) -> None:
    """Among the lines made for an expression that goes back and forth is one that shows it."""
    log_filter = LogFilter(FilterDefinition(name="slow", failregex=(expression,)))
    worst = _worst(log_filter, _hostile(log_filter))
    assert max(_ratio(log_filter, number, parts, 1_000, 4_000) for number, parts in worst) > _MOST
