"""The command that tries a configuration: the daemon goes back automatically unless it is confirmed in time."""

import math
import os
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from monitor.cli import show
from monitor.cli.reload import describe
from monitor.cli.target import Target
from monitor.cli.values import TRIAL_TIME
from monitor.control.client import RequestRefused
from monitor.control.protocol import Apply, ApplyBack, ApplyConfirm, ApplyStatus
from monitor.files.regular import digest, digest_of, read_regular
from monitor.files.replaced import replace_file
from monitor.model.errors import ConfigError, NodewardenError, explain
from monitor.settings.places import DEFAULT_PATH

_LIMIT_BYTES = 1 << 20
_KEPT = ".before-apply"
"""Ends the name of the copy of a file that a confirmed configuration replaced."""
_CONFIRM = "`nodewarden apply --confirm` keeps it, `nodewarden apply --back` goes back at once"


class ApplyError(NodewardenError):
    """The command cannot be carried out; nothing changed, and the message says what to do."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--confirm-within",
    "within_s",
    type=TRIAL_TIME,
    metavar="DURATION",
    help="Go back unless it is confirmed in this time, 10 s to 24 h: `10m`.",
)
@click.option("--confirm", "action", flag_value="confirm", help="Keep the configuration that waits.")
@click.option("--back", "action", flag_value="back", help="Go back to the configuration before.")
@click.option("--status", "action", flag_value="status", help="Show what waits, and how the last trial ended.")
@click.option("--whole", is_flag=True, help="FILE replaces the main file; otherwise it is a file of conf.d.")
@click.option("--as", "place", metavar="NAME.yaml", help="Its name in conf.d; default: that of FILE.")
@click.option(
    "--days",
    type=click.FloatRange(min=0.0),
    default=7.0,
    show_default=True,
    help="Compare over this time of the recorded history first; 0: do not compare.",
)
@click.option("--max-new-bans", type=click.IntRange(min=0), help="Do not try it if it adds more bans to the history.")
@click.option(
    "--max-known-good",
    type=click.IntRange(min=0),
    help="Do not try it if more added or stronger bans in the history hit known-good sources.",
)
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)
@show.json_option
@click.pass_obj
def apply(
    target: Target,
    /,
    file: Path | None,
    within_s: float | None,
    action: str | None,
    whole: bool,
    place: str | None,
    path: Path,
    is_json: bool,
    days: float,
    **limits: int | None,
) -> None:
    """Try a configuration, and go back automatically unless it is confirmed.

    FILE is checked as by `config check`, compared with the recorded history as by `compare`, and put in force as if it
    were the file of its name in conf.d. The files below /etc stay as they are until `--confirm` writes them, as root.
    Without it the daemon goes back when the time is over, when the budget of bans is spent, or when a known-good source
    was banned; restarts and reboots do not add time.
    """
    is_limited = any(limit is not None for limit in limits.values())
    if (file is None) is (action is None) or (action and (within_s or whole or place or is_limited)):
        raise click.UsageError("give a FILE with --confirm-within, or one of --confirm, --back, --status")
    if file is not None:
        if within_s is None:
            raise click.UsageError("say when to go back: --confirm-within 10m")
        if is_limited and not days:
            raise click.UsageError(
                "--max-new-bans and --max-known-good count in the history, which --days 0 leaves out"
            )
        if whole and place:
            raise click.UsageError("--whole replaces the main file, which has no name in conf.d")
        limits = {name.removeprefix("max_"): value for name, value in limits.items()}
        result = _try(target, file, within_s, "" if whole else place or file.name, path, days, limits, is_json=is_json)
    elif action == "confirm":
        result = _confirm(target, path)
    else:
        result = target.ask(ApplyBack() if action == "back" else ApplyStatus())
    if is_json:
        show.as_json(result)
    else:
        _say(result, file, action or "")


def _try(
    target: Target,
    file: Path,
    within_s: float,
    place: str,
    path: Path,
    days: float,
    limits: dict[str, int | None],
    *,
    is_json: bool,
) -> Any:
    """Check a file with the rights of the caller, compare it, and have the daemon put it in force."""
    content = _read(file)
    stands_for = path.parent / "conf.d" / place if place else path
    order = Apply(name=str(file), content=content.decode(), within_s=within_s, place=place)
    is_limited = any(limit is not None for limit in limits.values())
    if not path.exists():  # the daemon may read another one, and checks it
        if is_limited:
            raise ApplyError(f"not tried: without {path} nothing can be compared, so the limits are not known to hold")
        return target.ask(order)
    _check(file, content, stands_for, path)
    if not days:
        return target.ask(order)
    if (waiting := target.ask(ApplyStatus())["waiting"]) is not None:  # before it takes time
        raise ApplyError(f"trial configuration {waiting['name']} waits: {_CONFIRM}")
    from monitor.cli.apply_comparison import compare_with_history, say

    compared = compare_with_history(path, stands_for, content, days, limits)
    if compared is None:
        if is_limited:
            raise ApplyError("not tried: nothing could be compared, so the limits are not known to hold")
        return target.ask(order)
    if not is_json:
        say(compared)
    if compared.exceeded:
        raise ApplyError(f"not tried, since it exceeds a limit: {'; '.join(compared.exceeded)}")
    result = target.ask(msgspec.structs.replace(order, known_good=compared.known_good))
    return result | {"comparison": compared.data}


def _read(file: Path) -> bytes:
    try:
        content = read_regular(file, _LIMIT_BYTES)
        content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {explain(error)}") from error
    if len(content) > _LIMIT_BYTES:
        raise ConfigError(f"{file} is larger than {_LIMIT_BYTES} bytes")
    return content


def _check(file: Path, content: bytes, stands_for: Path, path: Path) -> None:
    """Check as `config check` does; faults name the file that was given."""
    from monitor.config.faults import InvalidConfigError
    from monitor.daemon.selfcheck.configuration import load_examined

    try:
        _, examined = load_examined(path, standing={stands_for: content})
    except InvalidConfigError as error:
        faults = [
            msgspec.structs.replace(fault, file=file) if fault.file == stands_for else fault for fault in error.faults
        ]
        raise InvalidConfigError(faults, error.files) from None
    for warning in examined.warnings:
        show.say_lines(f"warning: {warning}", "  ", err=True)


def _confirm(target: Target, path: Path) -> Any:
    """Put the file that waits in its place, and have the daemon keep it; what was there is kept next to it."""
    waiting = target.ask(ApplyStatus())["waiting"]
    if waiting is None:
        _nothing_waits(target)
    place, content = Path(waiting["target"]), waiting["content"].encode()
    _check_place(place, path)
    kept = place.with_name(place.name + _KEPT)
    is_new = digest_of(content) != digest(place, _LIMIT_BYTES)
    is_theirs = digest(place, _LIMIT_BYTES) != waiting["before"]
    if is_new and is_theirs:
        # what somebody wrote meanwhile counts; the daemon compares what all files say together
        show.say(f"{place} was changed since the trial began, and is not overwritten", err=True)
    elif is_new:
        try:
            replace_file(place, content, kept=kept)
        except OSError as error:
            raise ApplyError(
                f"{place} cannot be written: {explain(error)}; do it as root, or have what manages this file write it; "
                "the trial configuration still waits"
            ) from error
    try:
        return target.ask(ApplyConfirm())
    except (RequestRefused, ConfigError) as error:
        if is_new and is_theirs and target.ask(ApplyStatus())["waiting"] is not None:
            raise ApplyError(
                f"{place} says something else than the trial: write both together into it, then confirm; or go back "
                "with `nodewarden apply --back`"
            ) from error
        if is_new:
            _undo(place, kept, had_file=waiting["before"] is not None)
        raise


def _check_place(place: Path, path: Path) -> None:
    """Raise ApplyError for a file that is none of the configuration: the daemon must not say where root writes."""
    from monitor.daemon.trial.record import is_place

    if not is_place(place, Path(os.path.abspath(path))):  # noqa: PTH100 - links stay as they are
        raise ApplyError(
            f"{place} is no file of the configuration {path}, and is not written; if the daemon reads another one, "
            "name that with --config"
        )


def _undo(place: Path, kept: Path, *, had_file: bool) -> None:
    """Put back what was there before."""
    try:
        if had_file:
            kept.replace(place)
        else:
            place.unlink()
    except OSError as error:
        show.say(f"{place} could not be put back: {explain(error)}; what was there is {kept}", err=True)


def _nothing_waits(target: Target) -> NoReturn:
    target.ask(ApplyConfirm())  # the daemon says how the last one ended
    raise ApplyError("no trial configuration waits to be confirmed")


def _say(result: dict[str, Any], file: Path | None, action: str) -> None:
    waiting, ended = result["waiting"], result["ended"]
    if waiting:
        left = show.duration(math.ceil(waiting["left_s"]))
        show.say(f"trial configuration {waiting['name']} is in force for another {left}, as {waiting['target']}")
        show.say(_CONFIRM)
        if waiting["is_target_changed"]:
            show.say(f"{waiting['target']} was changed meanwhile, and will not be overwritten", fg="red")
    elif ended and action == "confirm":
        show.say(f"{ended['name']} is confirmed: it stays in force as {ended['target']}")
    elif ended and action == "back":
        show.say(f"{ended['name']} is no longer in force: the files in {Path(ended['target']).parent} are")
    elif ended:
        show.say(f"no trial configuration waits; {ended['name']} ended {show.moment(ended['time_s'])}: {ended['text']}")
    else:
        show.say("no trial configuration waits")
    if file is not None and "reload" in result:
        describe(result["reload"])
