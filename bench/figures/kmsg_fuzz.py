"""Robustness of the kernel log decoder."""

from collections.abc import Iterator

from bench.fuzz_kmsg import SurvivalError, seed_records, survive
from bench.registry import BenchmarkError, Figure, benchmark, progress

_LINES = 1_000_000
_CHUNK = 100_000
_SEED = 20_240_601


@benchmark("kmsg_fuzz_lines_per_run")
def kmsg_fuzz() -> Iterator[Figure]:
    """Mutated kernel log lines on which the decoder raised nothing except MalformedRecord (lines; must be all).

    Every run makes the same mutations (the seed is fixed), as long as the corpus stays the same. A line that raises
    another exception fails the benchmark and is printed with its seed. No peer.
    """
    records = seed_records()
    survived = decoded = 0
    for seed in range(_SEED, _SEED + _LINES // _CHUNK):
        try:
            decoded += survive(records, _CHUNK, seed)
        except SurvivalError as error:
            raise BenchmarkError(str(error)) from error
        survived += _CHUNK
        progress(f"{survived:,} lines passed, {decoded:,} of them decoded to a packet")
    yield Figure("kmsg_fuzz_lines_per_run", survived, "lines")
