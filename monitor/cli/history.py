"""Commands that look back: the history entry by entry, and a report of what it amounts to."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.cli import completion, show
from monitor.cli.enrichment.enricher import Enricher, options
from monitor.cli.enrichment.output import finish, say_enrichment
from monitor.cli.past import describe_past
from monitor.cli.report import print_report
from monitor.cli.target import Target
from monitor.cli.values import NETWORK_OR_ALL, WHEN
from monitor.control.protocol import MAX_HISTORY_PAGE, History, Report
from monitor.settings.places import DEFAULT_PATH


def _which(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which entries."""
    for option in (
        click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            default=DEFAULT_PATH,
            show_default=True,
            help="The main file; read where no daemon answers, for its state directory.",
        ),
        click.option(
            "--source",
            type=NETWORK_OR_ALL,
            default="",
            metavar="NETWORK",
            shell_complete=completion.banned,
            help="Only sources that overlap this network.",
        ),
        click.option(
            "--detector",
            default="",
            metavar="NAME",
            shell_complete=completion.detectors,
            help="Only what this detector found.",
        ),
        click.option("--observed", is_flag=True, help="Only what was not banned: observed or spared."),
        click.option("--until", "until_s", type=WHEN, metavar="WHEN", help="Only what came before: as for --since."),
        click.option(
            "--since",
            "since_s",
            type=WHEN,
            default="7d",
            show_default=True,
            metavar="WHEN",
            help="Only what came since: a duration before now (`36h`), a date or a time (`2026-11-27T09:30`), local.",
        ),
    ):
        command = option(command)
    return command


@click.command("history")
@_which
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show at most N entries.")
@options()
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def history(
    target: Target,
    /,
    since_s: float,
    until_s: float | None,
    observed: bool,
    detector: str,
    source: str,
    config_path: Path,
    limit: int | None,
    is_json: bool,
    **enrichment: Any,
) -> None:
    """Show what was banned, would have been banned, or was spared; newest first.

    Works without the daemon as well, for a user that may read its state directory.
    """
    request = History(since_s, _until(until_s), observed, detector, source)
    is_empty = True
    enricher = Enricher(**enrichment)
    for entry in enricher.enrich(_entries(target, request, config_path, limit)):
        is_empty = False
        if is_json:
            show.as_json(entry, indent=None)
        else:
            standing = f" ({entry['standing']})" if entry["standing"] else ""
            for line in describe_past(entry, f"{entry['network']}{standing}"):
                show.say(line)
            say_enrichment(entry)
    if is_empty and not is_json:
        show.say("nothing happened in that time")
    finish(enricher)


@click.command("report")
@_which
@show.json_option
@click.pass_obj
def report(
    target: Target,
    since_s: float,
    until_s: float | None,
    observed: bool,
    detector: str,
    source: str,
    config_path: Path,
    is_json: bool,
) -> None:
    """Sum up what was banned and what would have been: by detector, source, prefix and hour.

    Sources that are no strangers come first: those on the allowlist, in internal networks, and clients of this node.
    Look at them before you let a detector enforce.
    """
    result = target.read_history(Report(since_s, _until(until_s), observed, detector, source), config_path)
    if is_json:
        show.as_json(result)
    else:
        print_report(result)


def _until(until_s: float | None) -> float:
    return time.time() + 1.0 if until_s is None else until_s


def _entries(target: Target, request: History, config_path: Path, most: int | None) -> Iterator[dict[str, Any]]:
    """Yield entries page by page, at most `most`."""
    before = None
    while most is None or most > 0:
        limit = MAX_HISTORY_PAGE if most is None else min(most, MAX_HISTORY_PAGE)
        page = target.read_history(msgspec.structs.replace(request, before=before, limit=limit), config_path)
        yield from page["entries"]
        before = page["before"]
        if before is None:
            return
        most = None if most is None else most - len(page["entries"])
