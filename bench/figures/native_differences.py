"""Equality of the native extension and the Python code in the filters."""

from collections.abc import Iterator

from bench.log_differences import DifferenceError, compare
from bench.log_mutations import filters
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.native import extension, why_not

_LINES = 1_000_000
_SEED = 20_261_128


@benchmark("native_differences")
def native_differences() -> Iterator[Figure]:
    """Scan a million log lines with the native extension and without it and compare all that is visible (0 differ).

    All modes of the built-in filters and fail2ban's filters read mutated and valid lines in blocks of 1 to 40: files,
    journal and containers, live and old, by known and unknown writers, cut, and with pauses; one in ten without
    Hyperscan, so that every line is examined. The seed is fixed; a difference is printed. No peer.
    """
    if extension is None:
        raise BenchmarkError(f"there is no native extension: {why_not}")
    each = filters()
    compared = failures = 0
    for number, (definition, lines) in enumerate(each):
        count = _LINES // len(each) + (number < _LINES % len(each))
        try:
            failures += compare(definition, lines, count, _SEED + number)
        except DifferenceError as error:
            raise BenchmarkError(str(error)) from error
        compared += count
        if number % 20 == 19:
            progress(f"{compared:,} lines compared, {failures:,} failures found")
    yield Figure("native_differences", 0, "lines")
