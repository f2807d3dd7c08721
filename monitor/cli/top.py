"""The command `nodewarden top`: what happens on the node, as it happens."""

import sys
from typing import Any

import click

from monitor.cli import show
from monitor.cli.target import Target
from monitor.control.protocol import Top

_SHOWN = 20


@click.command()
@click.option("--once", is_flag=True, help="Print one look and exit, as when the output is no terminal.")
@show.json_option
@click.pass_obj
def top(target: Target, once: bool, is_json: bool) -> None:
    """Show live who is closest to a threshold, new bans, drops and lag; keys explain, ban, unban and allow.

    The counts of sources are what detectors remember. Rates are those of the last two seconds.
    """
    result = target.ask(Top(_SHOWN))
    if is_json:
        show.as_json(result)
    elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print(result)
    else:
        from monitor.cli.top_screen import TopScreen

        TopScreen(target, result).run()


def _print(result: dict[str, Any]) -> None:
    for problem in result["problems"]:
        show.say_lines(f"PROBLEM: {problem}", "  ", fg="red", bold=True)
    columns = ("NETWORK", "DETECTOR", "COUNT", "OF", "STATUS")
    rows = [
        (one["network"], one["detector"], str(one["count"]), str(one["maxretry"]), one["status"])
        for one in result["sources"]
    ]
    if not show.table(columns, rows):
        show.say("no detector counts anybody")
