"""Robustness of the filters."""

from collections.abc import Iterator

from bench.log_mutations import BlameError, filters, survive
from bench.registry import BenchmarkError, Figure, benchmark, progress

_LINES = 1_000_000
_SEED = 20_261_123


@benchmark("log_lines_survived")
def log_fuzz() -> Iterator[Figure]:
    """Scan a million mutated log lines with all modes of the built-in filters and fail2ban's filters (lines; all).

    Requires that there is no exception, and that every reported address is a separate word of the line, or of an
    earlier one if the filter joins the lines of a connection. The seed is fixed; a line that violates this is printed.
    No peer.
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
            progress(f"{survived:,} lines passed, {failures:,} failures found")
    yield Figure("log_lines_survived", survived, "lines")
