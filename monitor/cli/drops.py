"""The command `nodewarden drops`: which kernel functions drop packets and why, or in whose network namespace."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from monitor.cli import show
from monitor.cli.values import LASTING

_MOST_REASONS = 4


@click.command("drops")
@click.option("--for", "seconds", type=LASTING, default=5.0, show_default="5s", help="Time to count.")
@click.option(
    "--by",
    type=click.Choice(("function", "pod")),
    default="function",
    show_default=True,
    help="Count by kernel function, or by the pod in whose network namespace packets drop.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=20,
    show_default=True,
    help="Show at most N locations or pods.",
)
@show.json_option
def drops(seconds: float, by: str, limit: int, is_json: bool) -> None:
    """Count dropped packets by the kernel function that drops them, or by pod, in all network namespaces.

    Shows the kernel's reasons. Requires root and python3-bpfcc. Works with or without the daemon, and costs nothing
    after it ends.
    """
    from monitor.daemon.selfcheck.drop_report import watch_drops, watch_drops_by_pod

    if sys.stderr.isatty():
        show.say(f"counting for {show.duration(seconds)} ...", err=True)
    report = watch_drops_by_pod(seconds, limit) if by == "pod" else watch_drops(seconds, limit)
    if is_json:
        show.as_json(report)
    elif by == "pod":
        _print_pods(report)
    else:
        _print_functions(report)


def _print_functions(report: dict[str, Any]) -> None:
    rows = [
        (f"{place['packets']:,}", f"{place['packets'] / report['seconds']:,.1f}", place["reason"], place["function"])
        for place in report["places"]
    ]
    _print(("packets", "per second", "reason", "dropped by"), rows, report)
    released = report["released"]
    if any(released.values()):
        show.say(
            f"not counted: {released['no_packet']:,} messages of local sockets, and {released['teardown']:,} buffers "
            "of sockets or queues that were closed"
        )


def _print_pods(report: dict[str, Any]) -> None:
    for notice in report["notices"]:
        show.say(notice, fg="yellow")
    rows = [
        (
            f"{one['packets']:,}",
            f"{one['packets'] / report['seconds']:,.1f}",
            f"pod {one['where']}" if one["is_pod"] else one["where"],
            _most(one["reasons"]),
        )
        for one in report["pods"]
    ]
    _print(("packets", "per second", "where", "reasons"), rows, report)
    if any(one["where"].startswith("namespace ") for one in report["pods"]):
        show.say("`lsns --type net` shows which processes are in the other namespaces")


def _most(reasons: Mapping[str, int]) -> str:
    """Write the reasons of most packets, most first, and how many more there are."""
    named = [f"{reason} {count:,}" for reason, count in reasons.items()]
    more = [f"{len(named) - _MOST_REASONS} more"] if len(named) > _MOST_REASONS else []
    return ", ".join(named[:_MOST_REASONS] + more)


def _print(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], report: dict[str, Any]) -> None:
    if rows:
        show.table(heads, rows)
    else:
        show.say("no packets were dropped")
    if report["uncounted_packets"]:
        show.say(f"{report['uncounted_packets']:,} more in other locations: the table was full")
