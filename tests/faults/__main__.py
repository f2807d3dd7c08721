"""`make faults`: every system call of the daemon, with every errno; exit code 1 if it does not survive one of them."""

import argparse
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.rig import Rig
from tests.faults.runner import Outcome, run
from tests.faults.start import run_starts
from tests.faults.table import all_cases


def main() -> int:
    """Run the table and print it."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="cases whose name has TEXT")
    parser.add_argument("--log", type=Path, help="keep the daemon's log in this file")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the faults are injected in network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    chosen = [case for case in all_cases() if not options.only or any(text in str(case) for text in options.only)]
    with tempfile.TemporaryDirectory(prefix="nw-faults-") as directory, Rig.built(Path(directory)) as rig:
        outcomes = run(rig, ((case,) for case in chosen), _print)
        if not options.only:
            outcomes += run_starts(rig, _print)
        if options.log:
            options.log.write_text(rig.daemon.log)
    survived = sum(outcome.is_good for outcome in outcomes)
    print(f"\n{', '.join(f'{fate} {count}' for fate, count in Counter(one.fate for one in outcomes).items())}")
    print(f"faults_tried {len(outcomes)}\nfaults_survived {survived}")
    return 0 if survived == len(outcomes) else 1


def _print(outcome: Outcome) -> None:
    print(outcome, flush=True)


if __name__ == "__main__":
    sys.exit(main())
