"""`make soak`: true offenders in a mixed attack; exit code 1 if one in twenty is missed, or anybody else is banned."""

import argparse
import os
import signal
import sys

from tests.soak.runner import Outcome, run

LEAST_FOUND_PERCENT = 95.0
_WIDTH = 40


def main() -> int:
    """Run the soak and print the table."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to run (default: 30)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the soak creates network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    outcome = run(60 * options.minutes, lambda line: print(line, flush=True))
    print(table(outcome))
    return 0 if is_good(outcome) else 1


def is_good(outcome: Outcome) -> bool:
    """Whether the offenders were found, nobody else was banned, and the daemon worked to the end."""
    return outcome.found_percent >= LEAST_FOUND_PERCENT and not outcome.others and not outcome.troubles


def table(outcome: Outcome) -> str:
    """Return what happened as text: each kind of offender, everybody else, and the figures."""
    lines = ["", f"{'offenders':<{_WIDTH}} {'all':>5} {'banned':>7} {'median ms':>10} {'longest ms':>11}"]
    lines += [_row(kind, outcome) for kind in dict.fromkeys(one.kind for one in outcome.offenders)]
    lines += [f"banned, but no offender: {network}" for network in outcome.others[:20]]
    lines += [f"trouble: {text}" for text in outcome.troubles]
    lines += [
        "",
        f"soak_found_percent {outcome.found_percent:.1f}",
        f"soak_ban_p99_ms {outcome.ban_p99_ms:.1f}",
        f"soak_rss_growth_mb {outcome.growth_mb:.1f}",
        f"soak_others_banned {len(outcome.others)}",
    ]
    return "\n".join(lines)


def _row(kind: str, outcome: Outcome) -> str:
    count = sum(one.kind == kind for one in outcome.offenders)
    times_ms = sorted(1e3 * took_s for took_s in outcome.found(kind))
    middle = f"{times_ms[len(times_ms) // 2]:.1f}" if times_ms else "-"
    longest = f"{times_ms[-1]:.1f}" if times_ms else "-"
    return f"{kind:<{_WIDTH}} {count:>5} {len(times_ms):>7} {middle:>10} {longest:>11}"


if __name__ == "__main__":
    sys.exit(main())
