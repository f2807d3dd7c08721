"""`nodewarden compare`: what another configuration would have banned, over the recorded history."""

import sys
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.compare_report import print_comparison
from monitor.cli.progress import through, watched
from monitor.cli.recorded_history import recorded_history
from monitor.cli.values import WHEN

_PATH = click.Path(path_type=Path)
_COUNT = click.IntRange(min=0)
_SHOWN = 20


@click.command()
@click.option("--config", "new", type=_PATH, required=True, help="The new main file, with its conf.d/*.yaml.")
@click.option(
    "--against", "old", type=_PATH, help="The old main file; default: the configuration that was in force then."
)
@recorded_history
@click.option(
    "--since",
    type=WHEN,
    default="7d",
    show_default=True,
    help="Start: a duration before now, or a time; the default for --recording is all of it.",
)
@click.option("--max-new-bans", type=_COUNT, help="Exit with 1 if more bans are added.")
@click.option("--max-lost-bans", type=_COUNT, help="Exit with 1 if more bans are lost.")
@click.option("--max-internal", type=_COUNT, help="Exit with 1 if more added or stronger bans hit internal addresses.")
@click.option(
    "--max-known-good",
    type=_COUNT,
    help="Exit with 1 if more added or stronger bans hit known-good sources: allowlisted, internal, labelled good, or "
    "clients before and after.",
)
@click.option("--limit", type=_COUNT, default=_SHOWN, show_default=True, help="Show at most N changes.", metavar="N")
@show.json_option
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    new: Path,
    old: Path | None,
    recording: str,
    labels: Path | None,
    since: float,
    limit: int,
    is_json: bool,
    **limits: int | None,
) -> None:
    """Compare what two configurations ban, over the same recorded history.

    Both run at full speed through the pipeline of the daemon, and nothing touches the kernel. Exit code 0: done and
    within the limits, 1: a limit is exceeded or there is no history, 2: the configuration or the usage is wrong.
    """
    from monitor.daemon.tuning.compare import Limits
    from monitor.daemon.tuning.comparing import Question, answer, as_data

    is_given = ctx.get_parameter_source("since") is not click.core.ParameterSource.DEFAULT
    question = Question(
        new=new,
        old=old,
        recording=recording,
        labels=labels,
        since_s=since if is_given or not recording else None,
    )
    first_s = float("-inf") if question.since_s is None else question.since_s
    found = answer(question, lambda read, inputs: watched(inputs, through(read, first_s)))
    over = Limits(**{name.removeprefix("max_"): value for name, value in limits.items()}).exceeded(found.comparison)
    result: dict[str, Any] = as_data(found) | {"exceeded": over}
    if is_json:
        show.as_json(result)
    else:
        print_comparison(result, limit)
    for sentence in over:
        show.say(f"nodewarden: {sentence}", err=True, fg="red")
    sys.exit(1 if over else 0)
