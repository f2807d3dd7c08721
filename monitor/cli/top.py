"""The command `nodewarden top`: what happens on the node, as it happens."""

import os
import sys
from typing import Any

import click

from monitor.cli import show
from monitor.cli.mode_line import short_mode_line
from monitor.cli.target import Target
from monitor.control.protocol import Top

_SHOWN = 20


@click.command()
@click.option("--once", is_flag=True, help="Print one look and exit, as where there is no terminal, or a dumb one.")
@show.json_option
@click.pass_obj
def top(target: Target, once: bool, is_json: bool) -> None:
    """Show live who is closest to a threshold, new bans, drops and lag; keys explain, ban, unban and allow.

    The counts of sources are what detectors remember. Rates are those of the last two seconds.
    """
    result = target.ask(Top(_SHOWN))
    if is_json:
        show.as_json(result)
    elif once or not _is_screen():
        _print(result)
    else:
        from monitor.cli.top_screen import TopScreen

        TopScreen(target, result).run()


def _is_screen() -> bool:
    """Whether a terminal reads keys, and can place text; a dumb one prints the codes for that instead."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _print(result: dict[str, Any]) -> None:
    show.say(short_mode_line(result))
    for problem in result["problems"]:
        show.say_lines(f"PROBLEM: {problem}", "  ", fg="red", bold=True)
    columns = ("NETWORK", "DETECTOR", "COUNT", "OF", "STATUS")
    rows = [
        (one["network"], one["detector"], str(one["count"]), str(one["maxretry"]), one["status"])
        for one in result["sources"]
    ]
    if not show.table(columns, rows):
        show.say("no detector counts anybody")
    if lag_s := result["lag_s"]:
        show.say("lag: " + ", ".join(f"{name} {lag_s[name] * 1000:.1f} ms" for name in sorted(lag_s)))
