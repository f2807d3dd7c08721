"""`make newcomer`: follow README, getting started and operations, word by word, on a fresh Debian 12 and 13.

Exit code 1 if any command fails, or if the purge leaves anything behind.
"""

import argparse
import os
import signal
import sys

from tests.newcomer.documents import Kind
from tests.newcomer.walk import Outcome, walk

SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}


def main() -> int:
    """Walk on each release, and print what failed."""
    parser = argparse.ArgumentParser(prog="make newcomer", description=__doc__)
    parser.add_argument("--suite", action="append", choices=[*SUITES, "forky"], help="only on this release of Debian")
    suites = parser.parse_args().suite or list(SUITES)
    if os.geteuid() != 0:
        print("the newcomer's machine is booted in network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machine is removed as well
    outcomes = {}
    for suite in suites:
        print(f"on {SUITES.get(suite, suite)}:", flush=True)
        outcomes[suite] = walk(suite, lambda line: print(line, flush=True))
    for suite, outcome in outcomes.items():
        _print(SUITES.get(suite, suite), outcome)
    return 0 if all(outcome.is_good for outcome in outcomes.values()) else 1


def _print(where: str, outcome: Outcome) -> None:
    for result in outcome.faults:
        print(f"\n{where}, {result.step.place}: {result.step.text}\n{result.fault}")
    for step in outcome.left_out:
        print(f"not run: {step.place} {step.text.partition(chr(10))[0]} ({step.reason})")
    for what in outcome.left_behind:
        print(f"left behind by the purge: {what}")
    counts = {kind: sum(result.step.kind is kind for result in outcome.results) for kind in Kind}
    print(
        f"{where}: {counts[Kind.COMMAND]} commands and {counts[Kind.SETTINGS]} configurations, "
        f"{len(outcome.faults)} failed; {len(outcome.left_out)} not run"
    )


if __name__ == "__main__":
    sys.exit(main())
