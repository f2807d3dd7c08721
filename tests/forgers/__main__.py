"""`make forgers`: attackers who want somebody else banned; exit code 1 if one succeeds beyond what is documented."""

import os
import signal
import sys

from tests.forgers.log_attacks import attack_filters
from tests.forgers.network import CONTROL
from tests.forgers.runner import Row, run

_WIDTH = 46


def main() -> int:
    """Run the forgers and print the table."""
    if os.geteuid() != 0:
        print("the forgers create network namespaces: run them as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    rows = run(lambda line: print(line, flush=True))
    print("log lines are forged", flush=True)
    logs = attack_filters()
    print(f"\n{'forger':<{_WIDTH}} {'packets':>8} {'proven':>7} {'shuns':>6}")
    for row in rows:
        _print(row)
    print(f"\n{'filter':<{_WIDTH}} {'lines':>8} {'proven':>7} {'shuns':>6}")
    for name in dict.fromkeys(row.filter for row in logs):
        for who in ("client", "local writers"):
            some = [row for row in logs if row.filter == name and row.attack.startswith(who)]
            lines, proven = sum(row.lines for row in some), sum(row.proven for row in some)
            shuns = sum(row.spoofable for row in some)
            print(f"{f'{name}, {who}':<{_WIDTH}} {lines:>8} {proven:>7} {shuns:>6}")
    forged = [row for row in rows if row.forger is not CONTROL]
    proven = sum(len(row.proven) for row in forged) + sum(row.proven for row in logs)
    print(f"\nforged_proven_bans {proven}")
    print(f"forged_undocumented_shuns {sum(bool(row.shuns) and not row.forger.shuns for row in forged)}")
    return 0 if all(row.is_good for row in rows) and not proven else 1


def _print(row: Row) -> None:
    print(f"{row.forger.name:<{_WIDTH}} {row.packets:>8} {len(row.proven):>7} {len(row.shuns):>6}")
    for text in (*row.proven, *row.shuns):
        print(f"    {text}: {row.forger.shuns or 'NOT DOCUMENTED'}")
    for text in row.observed:
        print(f"    only noticed: {text}")
    if row.failure:
        print(f"    did not take place: {row.failure}")


if __name__ == "__main__":
    sys.exit(main())
