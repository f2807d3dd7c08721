"""Robustness of the kernel log decoder."""

from collections.abc import Iterator

from bench.fuzz_kmsg import SurvivalError, seed_records, survive
from bench.registry import BenchmarkError, Figure, benchmark, progress

_LINES = 1_000_000
_CHUNK = 100_000
_SEED = 20_240_601


@benchmark("kmsg_fuzz_lines_per_run")
def kmsg_fuzz() -> Iterator[Figure]:
    """Mutated kernel log lines that the decoder took without anything but MalformedRecord (lines; all of them).

    Every run mutates the same way (the seed is fixed), as long as the corpus stays the same. A line that raises
    anything else fails the benchmark and is printed with its seed. No peer.
    """
    records = seed_records()
    survived = decoded = 0
    for seed in range(_SEED, _SEED + _LINES // _CHUNK):
        try:
            decoded += survive(records, _CHUNK, seed)
        except SurvivalError as error:
            raise BenchmarkError(str(error)) from error
        survived += _CHUNK
        progress(f"{survived:,} lines survived, {decoded:,} of them still packets")
    yield Figure("kmsg_fuzz_lines_per_run", survived, "lines")
