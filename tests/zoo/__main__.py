"""`make zoo`: legitimate traffic of every kind against the real daemon; exit code 1 if any of it leads to a ban."""

import argparse
import os
import signal
import sys

from tests.zoo.registry import ALL
from tests.zoo.runner import Outcome, Result, run

_WIDTH = 46


def main() -> int:
    """Run the zoo and print the table."""
    parser = argparse.ArgumentParser(prog="make zoo", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="run the reduced form, as the tests do")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="behaviours whose name has TEXT")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the zoo creates network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is removed as well
    chosen = [one for one in ALL if not options.only or any(text in one.name for text in options.only)]
    outcome = run(chosen, is_reduced=options.reduced, report=lambda line: print(line, flush=True))
    _print(outcome)
    return 0 if _is_good(outcome) else 1


def _is_good(outcome: Outcome) -> bool:
    ran = all(not result.failure for result in outcome.results)
    return ran and not (outcome.bans or outcome.missed or outcome.blind)


def _print(outcome: Outcome) -> None:
    print(f"\n{'behaviour':<{_WIDTH}} {'packets':>8} {'alerts':>7} {'bans':>5}")
    for result in outcome.results:
        _print_result(result)
    print("\nattackers, which must be banned:")
    for result in outcome.controls:
        _print_result(result)
    for stray in outcome.strays:
        print(f"banned, but of no behaviour: {stray}")
    for name in outcome.missed:
        print(f"not banned, so the zoo proves nothing: {name}")
    for name, state in outcome.blind.items():
        print(f"source of evidence {name} did not work at the end ({state}), so the zoo proves nothing")
    failed = sum(bool(result.failure) for result in outcome.results)
    print(f"\nbehaviours {len(outcome.results)}, of which {failed} could not take place")
    print(f"zoo_bans {outcome.bans}")


def _print_result(result: Result) -> None:
    verdict = result.verdict
    alerts = len(verdict.bans) + len(verdict.observed)
    print(f"{result.name:<{_WIDTH}} {result.packets:>8} {alerts:>7} {len(verdict.bans):>5}")
    for text in verdict.bans:
        print(f"    banned by {text}")
    for text in verdict.observed:
        print(f"    only noticed by {text}: {result.behaviour.expects_observed or 'no reason is given'}")
    if result.failure:
        print(f"    did not take place: {result.failure}")


if __name__ == "__main__":
    sys.exit(main())
