"""Everything that commands print: lines and tables for people, JSON for programs; notation of numbers.

No other module of the command line writes to the terminal, so that one place escapes what attackers, clients and peers
wrote (`tests/unit/cli/test_escapes.py`).
"""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import click
import msgspec

from monitor.model.parts import in_parts
from monitor.model.printable import printable, printable_lines

json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
_LINES = 512
"""Lines that are written at once."""
_DRAWN = 1000
"""Rows from which on a table is printed as it comes."""
_GAP, _INDENT = 2, 4
_LEAST_LAST = 30
"""Characters that the last column of a table needs next to the others; with fewer it goes below each row."""
_NARROWEST = 40
"""Characters of a line of text, however narrow the terminal is."""
_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Write a duration with its two largest units: `1h 30m`."""
    return _duration(int(seconds))


@lru_cache(16_384)
def _duration(left: int) -> str:
    """Write whole seconds; long lists have few different ones."""
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


def width(most: int, indent: int = 0) -> int:
    """Return how many characters of a line are for text: those of the terminal, at most `most`, after an indent."""
    if not sys.stdout.isatty():
        return most
    return min(most, max(_NARROWEST, shutil.get_terminal_size().columns - indent))


def findings(count: int) -> str:
    """Write a number of findings: `1 finding`, `2 findings`."""
    return f"{count} finding{'' if count == 1 else 's'}"


def first(texts: Sequence[str]) -> str:
    """Write the first of several, and how many more there are."""
    return "".join(texts[:1]) + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")


def say(text: str = "", *, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Print one line for people, to standard error with `err`; what is not printable is escaped, line ends too."""
    _keep_order(err=err)
    click.secho(printable(text), err=err, color=_colour(), fg=fg, bold=bold)


def say_lines(
    text: str, indent: str = "", *, err: bool = False, fg: str | None = None, bold: bool | None = None
) -> None:
    """Print text that has line ends of its own; `indent` tells lines that follow from new ones."""
    _keep_order(err=err)
    click.secho(printable_lines(text, indent), err=err, color=_colour(), fg=fg, bold=bold)


def _keep_order(*, err: bool) -> None:
    """Write what was printed before an error first: in a log of both streams it would come after it."""
    if err and sys.stdout is not None:
        sys.stdout.flush()


def _colour() -> bool | None:
    """Return what click takes: no colours with NO_COLOR (https://no-color.org), otherwise on terminals only."""
    return False if os.environ.get("NO_COLOR") else None


def start_line(text: str, fg: str | None) -> None:
    """Print the start of a line in a colour."""
    click.secho(printable(text), color=_colour(), fg=fg, nl=False)


def progress(text: str) -> None:
    """Overwrite the current line of the terminal that standard error is."""
    click.echo(f"\r\x1b[K{printable(text)}", err=True, nl=False)


def document(text: str) -> None:
    """Print a file for a program; who made the text has escaped what is not printable, each in its own notation."""
    click.echo(text.encode(errors="backslashreplace"), nl=False)


def as_json(result: Any, *, indent: int | None = 2) -> None:
    """Print a result as JSON, in one line without an indent; all but ASCII is escaped."""
    click.echo(json.dumps(result, indent=indent))


def as_json_list(items: Iterable[Any]) -> None:
    """Print a list as JSON, as it comes, with one item a line; all but ASCII is escaped."""
    head = "["
    for part in in_parts(items, _LINES):
        click.echo(head + ",".join(f"\n{_in_ascii(item)}" for item in part), nl=False)
        head = ","
    click.echo("[]" if head == "[" else "\n]")


def _in_ascii(item: Any) -> str:
    """Write one item: msgspec takes a third of the time, but escapes nothing that JSON need not escape."""
    with suppress(UnicodeEncodeError):  # surrogates, which stand for bytes that are not UTF-8
        text = msgspec.json.encode(item).decode()
        if text.isascii() and "\x7f" not in text:
            return text
    return json.dumps(item, separators=(",", ":"))


def say_all(texts: Iterable[str]) -> None:
    """Print many lines for people, as they come."""
    for part in in_parts(texts, _LINES):
        click.echo("\n".join(map(printable, part)))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Print a table for people; return how many rows there were, and print nothing if none.

    On a terminal a table of moderate length fits the width. In a pipe, and beyond that length, every row is one line,
    printed as it comes: drawing a hundred thousand rows takes a minute.
    """
    rest = iter(rows)
    first = list(islice(rest, _DRAWN))
    if not first:
        return 0
    if sys.stdout.isatty() and len(first) < _DRAWN:
        _draw(columns, first)
        return len(first)
    head = [tuple(map(printable, row)) for row in (columns, *first)]
    widths = [max(map(len, column)) for column in zip(*head, strict=True)][:-1]
    form = "".join(f"%-{width}s  " for width in widths) + "%s"
    count = 0
    for part in in_parts(chain((columns, *first), rest), _LINES):
        count += len(part)
        click.echo("\n".join([_line(form, row) for row in part]))
    return count - 1


def _line(form: str, row: Sequence[str]) -> str:
    """Write a row. All cells are examined at once: a hundred thousand rows have few that need escaping."""
    line = form % tuple(row)
    return (line if line.isprintable() else form % tuple(map(printable, row))).rstrip()


def _draw_below(head: Sequence[Sequence[str]], widths: Sequence[int], columns_wide: int) -> None:
    """Print each row with its last cell in lines of its own: next to the others it would be a narrow ribbon."""
    form = (" " * _GAP).join(f"{{:{width}}}" for width in widths)
    for number, (*row, last) in enumerate(head):
        say(form.format(*row).rstrip(), bold=number == 0 or None)
        for line in textwrap.wrap(last, columns_wide - _INDENT, break_on_hyphens=False):
            say(" " * _INDENT + line, bold=number == 0 or None)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns_wide = Console().width
    head = [tuple(map(printable, row)) for row in (columns, *rows)]
    *others, last = (max(map(len, column)) for column in zip(*head, strict=True))
    before = sum(width + _GAP for width in others)
    is_narrow = before + last > columns_wide >= before and columns_wide - before < _LEAST_LAST
    if is_narrow and len(others) > 1:
        _draw_below(head, others, columns_wide)
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=number == 0)  # a name in two lines is hard to read
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False).print(drawn)
