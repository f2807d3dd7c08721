"""The command `nodewarden drops`: which kernel functions drop packets, and why."""

import sys

import click

from monitor.cli import show
from monitor.cli.values import LASTING


@click.command("drops")
@click.option("--for", "seconds", type=LASTING, default=5.0, show_default="5s", help="Time to count.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=20,
    show_default=True,
    help="Show at most N locations.",
)
@show.json_option
def drops(seconds: float, limit: int, is_json: bool) -> None:
    """Count dropped packets by the kernel function that drops them, in all network namespaces.

    Requires root and python3-bpfcc. Works with or without the daemon, and costs nothing after it ends.
    """
    from monitor.daemon.selfcheck.drop_report import watch_drops

    if sys.stderr.isatty():
        show.say(f"counting for {show.duration(seconds)} ...", err=True)
    report = watch_drops(seconds, limit)
    if is_json:
        show.as_json(report)
        return
    if not report["places"]:
        show.say("no packets were dropped")
        return
    rows = [
        (f"{place['packets']:,}", f"{place['packets'] / seconds:,.1f}", place["reason"], place["function"])
        for place in report["places"]
    ]
    show.table(("packets", "per second", "reason", "dropped by"), rows)
    if report["uncounted_packets"]:
        show.say(f"{report['uncounted_packets']:,} more in other locations: the table was full")
