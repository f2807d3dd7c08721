"""`nodewarden filter`: test a filter on a log, list the built-in filters."""

import datetime
import sys
import time
from pathlib import Path
from typing import Any

import click

from monitor.cli import completion, show
from monitor.cli.log_lines import LogLines
from monitor.cli.values import DURATION
from monitor.config.types import parse_timezone

_REPORT_EVERY_S = 1.0


class _Timezone(click.ParamType):  # type: ignore[type-arg]  # as in bans.py
    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime.tzinfo:
        """Read `Europe/Berlin` or `UTC+02:00`."""
        try:
            return parse_timezone(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("filter")
def filter_group() -> None:
    """Test and list the filters that find failures in logs."""


@filter_group.command("test")
@click.argument("reference", metavar="[FILTER]", required=False, shell_complete=completion.filters)
@click.argument("log", metavar="[LOG]", required=False)
@click.option(
    "--expression",
    "-e",
    "expressions",
    metavar="REGEX",
    multiple=True,
    help="A failregex, instead of FILTER; may be repeated.",
)
@click.option("--ignore", "-i", "ignored", metavar="REGEX", multiple=True, help="An ignoreregex, with --expression.")
@click.option("--prefix", metavar="REGEX", default="", help="A prefregex, with --expression.")
@click.option("--datepattern", "-d", metavar="PATTERN", default="", help="Where the date is, with --expression.")
@click.option("--line", "-l", "texts", metavar="TEXT", multiple=True, help="A line, instead of LOG; may be repeated.")
@show.json_option
@click.option(
    "--timezone", type=_Timezone(), metavar="ZONE", help="Time zone of dates that name none; default: the system's."
)
@click.option(
    "--max-line-bytes", type=click.IntRange(256, 65_536), default=8192, show_default=True, help="Cut longer lines."
)
@click.option(
    "--confirm-timeout",
    "confirm_timeout_s",
    type=DURATION,
    default="100ms",
    show_default=True,
    help="Time limit for one line.",
)
@click.option(
    "--missed",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="Print the first N missed lines and what was left of them; default: 0, all of --line.",
)
def test_filter(
    reference: str | None,
    log: str | None,
    expressions: tuple[str, ...],
    ignored: tuple[str, ...],
    prefix: str,
    datepattern: str,
    texts: tuple[str, ...],
    is_json: bool,
    timezone: datetime.tzinfo | None,
    max_line_bytes: int,
    confirm_timeout_s: float,
    missed: int | None,
) -> None:
    """Report what a filter finds in a log.

    FILTER: name of a built-in filter, or path of a *.yaml or of fail2ban's filter.d/*.conf; parameters follow in
    brackets: sshd[mode=aggressive]. LOG: a file, - for standard input, journal, or journal:DIRECTORY.
    """
    from monitor.cli.filter_report import as_dict, print_report
    from monitor.cli.filter_trial import Trial
    from monitor.filters.definition import FilterDefinition
    from monitor.filters.library import load_filter

    reference, log = _subjects(reference, log, has_expressions=bool(expressions), has_lines=bool(texts))
    if (ignored or prefix or datepattern) and not expressions:
        raise click.UsageError("--ignore, --prefix and --datepattern need --expression")
    lines = _lines(log, texts, max_line_bytes)
    if reference is None:
        definition = FilterDefinition(
            name="--expression",
            failregex=expressions,
            ignoreregex=ignored,
            prefregex=prefix,
            datepattern=datepattern,
            origin="command line",
        )
    else:
        definition = load_filter(_absolute(reference), logtype="journal" if lines.is_journal else "file")
    lines.journalmatch = definition.journalmatch
    wanted = len(texts) if missed is None else missed
    trial = Trial(definition, timezone=timezone, confirm_timeout_s=confirm_timeout_s, missed_lines=wanted)
    with _Progress(lines) as progress:
        trial.run(lines, progress.report)
    if is_json:
        show.as_json(as_dict(definition, lines, trial))
    else:
        print_report(definition, lines, trial)
        if not trial.tally.matched and lines.lines:
            _say_what_to_try(reference or "", wanted)


def _subjects(
    reference: str | None, log: str | None, *, has_expressions: bool, has_lines: bool
) -> tuple[str | None, str | None]:
    """Return the filter and the log, of which options may take the place; UsageError if there are too few or many."""
    words = [word for word in (reference, log) if word is not None]
    wanted = (not has_expressions) + (not has_lines)
    if len(words) != wanted:
        needed = [name for name, is_given in (("FILTER", has_expressions), ("LOG", has_lines)) if not is_given]
        raise click.UsageError(
            f"expected {' and '.join(needed) or 'no arguments'}: --expression takes the place of FILTER, --line of LOG"
        )
    if has_expressions:
        return None, words[0] if words else None
    return words[0], words[1] if len(words) > 1 else None


def _lines(log: str | None, texts: tuple[str, ...], max_line_bytes: int) -> LogLines:
    if log is not None:
        return LogLines(log, max_line_bytes)
    content = "".join(f"{text}\n" for text in texts).encode(errors="surrogateescape")
    return LogLines("--line", max_line_bytes, content)


@filter_group.command("list")
@show.json_option
def list_filters(is_json: bool) -> None:
    """List the built-in filters, their modes (default first), and the logs that they read."""
    from monitor.filters.library import BUILT_IN, built_in_names, read_filter_file

    files = {name: read_filter_file(BUILT_IN / f"{name}.yaml") for name in built_in_names()}
    if is_json:
        show.as_json(
            [
                {
                    "name": name,
                    "description": one.description,
                    "modes": list(one.modes),
                    "journalmatch": list(one.journalmatch),
                    "files": list(one.files),
                }
                for name, one in files.items()
            ]
        )
        return
    rows = [
        (name, ", ".join(one.modes), ", ".join((*one.journalmatch, *one.files)), one.description)
        for name, one in files.items()
    ]
    show.table(("FILTER", "MODES", "READS", "DESCRIPTION"), rows)


def _say_what_to_try(reference: str, shown: int) -> None:
    """Name what a newcomer may not know of, where nothing matched: other modes, and what is left of missed lines."""
    from monitor.filters.library import BUILT_IN, built_in_names, read_filter_file

    if reference in built_in_names() and (others := list(read_filter_file(BUILT_IN / f"{reference}.yaml").modes)[1:]):
        show.say(f"to try other modes: {', '.join(f'{reference}[mode={mode}]' for mode in others)}")
    if not shown:
        show.say("to see what is left of missed lines: --missed 10")


def _absolute(reference: str) -> str:
    """Make the path in a reference absolute; anything else is the name of a built-in filter."""
    name, bracket, parameters = reference.partition("[")
    name = name.strip()
    if "/" in name or name.endswith((".yaml", ".conf")):
        name = str(Path(name).absolute())
    return f"{name}{bracket}{parameters}"


class _Progress:
    """Shows the progress of a command on a terminal, once a second, and erases it at the end."""

    def __init__(self, log: LogLines) -> None:
        self._log = log
        self._next_s = time.monotonic() + _REPORT_EVERY_S
        self._has_reported = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_reported:
            show.progress("")

    def report(self) -> None:
        """Report progress if a second has passed."""
        if (now_s := time.monotonic()) >= self._next_s and sys.stderr.isatty():
            self._next_s = now_s + _REPORT_EVERY_S
            self._has_reported = True
            show.progress(f"{self._log.lines:,} lines, {self._log.read_bytes >> 20:,} MiB")
