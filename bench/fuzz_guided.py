"""Coverage-guided comparison of native code with Python: inputs that reach new branches are kept and mutated further.

    python -m native.build --sanitize --coverage monitor
    python -m bench.fuzz_guided --seconds 60        # and LD_PRELOAD of libasan, see tests/sanitized

Without `--coverage` in the build it has no guidance and only mutates the seeds.
"""

import argparse
import ctypes
import random
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from bench import fuzz_kmsg, fuzz_program
from monitor import native

Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Changes an input; it may splice others into it."""
Difference = Callable[[bytes], str]
"""Says in what native code and Python differ over an input; empty if they do not."""
_MOST_KEPT = 20_000
_LONGEST = 20_000


class Target(msgspec.Struct, frozen=True):
    """Native code that is compared with Python."""

    name: str
    seeds: Sequence[bytes]
    mutate: Mutate
    difference: Difference


class Found(msgspec.Struct):
    """What a run tried."""

    inputs: int
    kept: int
    """Inputs that reached what none before did, the seeds that did so included."""
    failure: str = ""
    """The first difference and its input."""


def targets() -> list[Target]:
    """Return all targets."""
    return [
        Target("kmsg", fuzz_kmsg.seed_records(), fuzz_kmsg.mutate, fuzz_kmsg.Comparison().difference),
        Target("expressions", fuzz_program.expression_seeds(), fuzz_program.mutate_input, fuzz_program.compare_input),
        Target("programs", fuzz_program.program_seeds(), fuzz_program.mutate_words, fuzz_program.run_words),
    ]


def fresh_branches() -> Callable[[], int]:
    """Return the function that counts what ran for the first time since its last call; always 0 without coverage."""
    if native.extension is None or native.extension.__file__ is None:
        return lambda: 0
    fresh = getattr(ctypes.CDLL(native.extension.__file__), "nw_coverage_fresh", None)
    return fresh or (lambda: 0)


def explore(target: Target, fresh: Callable[[], int], *, seconds: float, seed: int) -> Found:
    """Compare seeds and mutations of what was kept for this long, or up to the first difference."""
    random_source = random.Random(seed)
    kept: list[bytes] = []
    found = Found(0, 0)
    ends_s = time.monotonic() + seconds
    waiting = list(target.seeds)
    while time.monotonic() < ends_s:
        if waiting:
            tried = waiting.pop()
        else:
            tried = random_source.choice(kept[-200:] if kept and random_source.random() < 0.5 else kept or target.seeds)
            for _ in range(random_source.choice((1, 1, 2, 4))):
                tried = target.mutate(random_source, tried, target.seeds)[:_LONGEST]
        found.inputs += 1
        if difference := target.difference(tried):
            found.failure = f"{target.name}, seed {seed}: {difference}: {tried!r}"
            break
        if fresh() and len(kept) < _MOST_KEPT:
            kept.append(tried)
    found.kept = len(kept)
    return found


def main() -> int:
    """Explore each target."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz_guided", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of the random numbers (default: another each time)")
    options = parser.parse_args()
    if native.extension is None:
        print(f"nothing to compare: {native.why_not}", file=sys.stderr)
        return 1
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    failures = []
    for target in targets():
        found = explore(target, fresh_branches(), seconds=options.seconds, seed=seed)
        print(f"{target.name}: seed {seed}, {found.inputs:,} inputs, {found.kept:,} reached new branches", flush=True)
        failures += [found.failure] * bool(found.failure)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
