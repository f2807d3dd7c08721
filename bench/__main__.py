"""Runs the benchmarks, prints one line per figure and writes all figures to build/bench.json."""

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.registry import Benchmark, BenchmarkError, Figure, all_benchmarks
from bench.table import NAMES, renewed, table

_OUTPUT = Path("build/bench.json")
_README = Path("README.md")


def main() -> int:
    """Return the exit code: 0, or 1 if any benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a figure; run only the benchmarks that measure these")
    parser.add_argument("--list", action="store_true", help="list all benchmarks and run none")
    parser.add_argument("--peers", action="store_true", help="run what the table of peers needs, and print the table")
    parser.add_argument("--table", action="store_true", help=f"print the table of peers from {_OUTPUT}, and run none")
    parser.add_argument("--write", action="store_true", help=f"with --table: renew its rows in {_README}")
    options = parser.parse_args()
    if options.table:
        figures = msgspec.json.decode(_OUTPUT.read_bytes(), type=list[Figure])
        print(table(figures))
        if options.write:
            _README.write_text(renewed(_README.read_text(), figures))
        return 0
    names = [*options.names, *(NAMES if options.peers else ())]
    benchmarks = all_benchmarks()
    if options.list:
        for entry in benchmarks:
            print(f"{', '.join(entry.names)}\n    {entry.title}")
        return 0
    known = {name for entry in benchmarks for name in entry.names}
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no such figure: {', '.join(unknown)} (--list shows all)")
    signal.signal(signal.SIGTERM, _end)
    wanted = [entry for entry in benchmarks if not names or set(entry.names) & set(names)]
    figures, failures = _run(wanted)
    _OUTPUT.parent.mkdir(exist_ok=True)
    _OUTPUT.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    if options.peers:
        print(table(figures))
    return 1 if failures else 0


def _end(number: int, _frame: object) -> None:
    """End by an exception, so that namespaces and processes of the benchmark are removed."""
    sys.exit(128 + number)


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
