"""Notation of numbers, and tables, for people."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Write a duration with its two largest units: `1h 30m`."""
    left = int(seconds)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def time_left(seconds: float | None) -> str:
    """Write the remaining time of a ban; `never` if it has no end."""
    return "never" if seconds is None else duration(seconds)


def moment(time_s: float) -> str:
    """Write a time of the wall clock, local, to the millisecond."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s)) + f".{int(time_s % 1 * 1000):03d}"


def counts(of: Mapping[str, int]) -> str:
    """Write the counts above zero: `3 foreign, 1 cut`."""
    return ", ".join(f"{count} {word}" for word, count in of.items() if count)


def first(texts: Sequence[str]) -> str:
    """Write the first of several, and how many more there are."""
    return "".join(texts[:1]) + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")


def as_json(result: Any) -> None:
    """Print a result as JSON."""
    click.echo(json.dumps(result, indent=2))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people; on a terminal it fits the width, in a pipe every row is one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 500, highlight=False)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console.print(drawn)
