"""Runs the benchmarks, prints one line per figure and writes all figures to build/bench.json."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.registry import Benchmark, BenchmarkError, Figure, all_benchmarks

_OUTPUT = Path("build/bench.json")


def main() -> int:
    """Return the exit code: 0, or 1 if any benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a figure; run only the benchmarks that measure these")
    parser.add_argument("--list", action="store_true", help="list all benchmarks and run none")
    options = parser.parse_args()
    benchmarks = all_benchmarks()
    if options.list:
        for entry in benchmarks:
            print(f"{', '.join(entry.names)}\n    {entry.title}")
        return 0
    known = {name for entry in benchmarks for name in entry.names}
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no such figure: {', '.join(unknown)} (--list shows all)")
    wanted = [entry for entry in benchmarks if not options.names or set(entry.names) & set(options.names)]
    figures, failures = _run(wanted)
    _OUTPUT.parent.mkdir(exist_ok=True)
    _OUTPUT.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 1 if failures else 0


def _run(benchmarks: Sequence[Benchmark]) -> tuple[list[Figure], int]:
    """Run the benchmarks in turn; return all figures and the number of failed benchmarks."""
    figures: list[Figure] = []
    failures = 0
    for entry in benchmarks:
        print(f"{', '.join(entry.names)}: {entry.title}", file=sys.stderr, flush=True)
        try:
            measured = entry.measure()
        except BenchmarkError as error:
            failures += 1
            print(f"FAILED {', '.join(entry.names)}: {error}", file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001 - one failing benchmark must not stop the others
            failures += 1
            print(f"FAILED {', '.join(entry.names)}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        else:
            figures += measured
            for figure in measured:
                print(figure, flush=True)
    return figures, failures


if __name__ == "__main__":
    sys.exit(main())
