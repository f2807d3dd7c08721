"""Robustness of the filters."""

from collections.abc import Iterator

from bench.log_mutations import BlameError, filters, survive
from bench.registry import BenchmarkError, Figure, benchmark, progress

_LINES = 1_000_000
_SEED = 20_261_123


@benchmark("log_lines_survived")
def log_fuzz() -> Iterator[Figure]:
    """Scan a million mutated log lines with built-in filters in all modes and fail2ban's (lines; all of them).

    No exception, and every address that is reported stands in the line as a word of its own; where a filter joins the
    lines of a connection, in that line or an earlier one. The seed is fixed; what breaks the promise is printed. No
    peer.
    """
    each = filters()
    survived = failures = 0
    for number, (definition, lines) in enumerate(each):
        count = _LINES // len(each) + (number < _LINES % len(each))
        try:
            failures += survive(definition, lines, count, _SEED + number)
        except BlameError as error:
            raise BenchmarkError(str(error)) from error
        survived += count
        if number % 20 == 19:
            progress(f"{survived:,} lines survived, {failures:,} failures found")
    yield Figure("log_lines_survived", survived, "lines")
