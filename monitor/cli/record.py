"""Commands for the recording: what it holds, export and import, start and stop."""

import os
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from monitor.cli import show
from monitor.cli.pseudonym_key import under_pseudonyms
from monitor.cli.record_summary import show_state, show_summary
from monitor.cli.recorded_history import find_recording, nothing_in, recording_directory
from monitor.cli.target import Target
from monitor.cli.values import WHEN
from monitor.control.client import DaemonUnreachable
from monitor.control.protocol import Record
from monitor.model.errors import NodewardenError, explain
from monitor.settings.places import DEFAULT_PATH

if TYPE_CHECKING:
    from monitor.recording.reader import Recording

_FOREVER_S = float("inf")

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The main file, which says where the recording is.",
)
"""Where a recording is looked for."""


class RecordingFileError(NodewardenError):
    """A file cannot be read or written; the message is for the operator."""


class NothingRecordedError(NodewardenError):
    """There is nothing to export; the message says what there is instead."""


def _which(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which part."""
    for option in (
        config_option,
        click.option("--until", "until_s", type=WHEN, metavar="WHEN", help="Only what came before: as for --since."),
        click.option(
            "--since",
            "since_s",
            type=WHEN,
            metavar="WHEN",
            help="Only what came since: a duration before now (`36h`), a date or a time (`2026-11-27T09:30`), local.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def record() -> None:
    """Show, export and import the recording of what decisions follow from; start and stop it.

    The daemon keeps the last days of events within a fixed size, for `replay`, `compare` and `tune`.
    """


@record.command()
@click.argument("recording", default="", metavar="[NAME|FILE]")
@_which
@show.json_option
@click.pass_obj
def info(
    target: Target, recording: str, since_s: float | None, until_s: float | None, config_path: Path, is_json: bool
) -> None:
    """Show what a recording holds: times, events by kind, and what it lacks.

    Without an argument: the daemon's own, also while it is written. NAME is an imported one, FILE an exported one.
    """
    from monitor.recording.bounds import RecordingError
    from monitor.recording.summary import Summary, summarize

    state = None if recording else _state(target)
    history = None
    try:
        history = _find(state, recording, config_path)
        found = summarize(history, _since(since_s), _until(until_s))
    except RecordingError:
        if not state:
            raise
        found = Summary()
    if is_json:
        show.as_json({**msgspec.to_builtins(found), "daemon": state})
        return
    if state:
        show_state(state)
    if history is None or found.inputs:
        show_summary(found)
    else:
        show.say(nothing_in(history))


@record.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--recording", default="", metavar="NAME|FILE", help="Another recording than the daemon's own.")
@click.option(
    "--pseudonyms",
    "key_path",
    metavar="KEYFILE",
    type=click.Path(path_type=Path),
    help="Replace addresses and names, by this key; it is made if there is none. Keep it: it maps both ways.",
)
@_which
@click.pass_obj
def export(
    target: Target,
    file: Path,
    recording: str,
    key_path: Path | None,
    since_s: float | None,
    until_s: float | None,
    config_path: Path,
) -> None:
    """Write a recording to a single file, or with `-` to standard output.

    With --pseudonyms it may leave the site: common prefixes of addresses stay common, internal and loopback addresses
    stay such, user names become others, and log lines are left out.
    """
    from monitor.recording.exchange import export as write
    from monitor.recording.segments import Header

    source = _find(None if recording else _state(target), recording, config_path)
    first = next(source.headers(), Header("", "", 0.0))  # none: all was removed meanwhile
    change, name = (lambda one: one), first.node
    if key_path is not None:
        change, name = under_pseudonyms(key_path, first.node)
    header = Header(name, first.version, first.created_s, first.has_pseudonyms or key_path is not None)

    def export_to(out: BinaryIO) -> int:
        inputs = source.inputs(_since(since_s), _until(until_s))
        start = next(inputs, None)
        if start is None:
            raise NothingRecordedError(f"{nothing_in(source)}; nothing was written")
        return write(chain((start,), inputs), out, header, change)

    count = _written(file, export_to)
    show.say(f"{count:,} inputs written" + _lacking(source.damaged_frames), err=True)


@record.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@click.option("--name", metavar="NAME", help="The name to keep it under; default: that of the file.")
@config_option
@show.json_option
def import_recording(file: Path, name: str | None, config_path: Path, is_json: bool) -> None:
    """Check a recording of another node, and keep it under a name, alongside the daemon's own.

    It replaces nothing and is never removed automatically: `replay`, `compare` and `tune` take it by its name.
    """
    from monitor.recording.exchange import store

    name = file.name.partition(".")[0] if name is None else name
    summary = store(file, recording_directory(config_path), name)
    if is_json:
        show.as_json({"name": name, **msgspec.to_builtins(summary)})
        return
    show.say(f"imported as {name}")
    show_summary(summary)


@record.command()
@show.json_option
@click.pass_obj
def start(target: Target, is_json: bool) -> None:
    """Record from now on, also after restarts."""
    _order(target, Record("start"), is_json)


@record.command()
@show.json_option
@click.pass_obj
def stop(target: Target, is_json: bool) -> None:
    """Record no more, also after restarts; what was recorded stays."""
    _order(target, Record("stop"), is_json)


def _order(target: Target, request: Record, is_json: bool) -> None:
    state = target.ask(request)
    if is_json:
        show.as_json(state)
        return
    show.say("recording" if state["is_on"] else "recording stopped")
    if not state["is_remembered"]:
        show.say("this is not remembered across restarts: the state directory cannot be written", err=True)


def _state(target: Target) -> dict[str, Any] | None:
    """Return how it is going; None without a daemon."""
    try:
        state: dict[str, Any] = target.ask(Record())
    except DaemonUnreachable:
        return None
    return state


def _find(state: dict[str, Any] | None, recording: str, config_path: Path) -> "Recording":
    """Return a recording: that of the daemon from where it says it is."""
    from monitor.recording.exchange import find

    return find(Path(state["directory"])) if state else find_recording(recording, config_path)


def _since(since_s: float | None) -> float:
    return -_FOREVER_S if since_s is None else since_s


def _until(until_s: float | None) -> float:
    return _FOREVER_S if until_s is None else until_s


def _written(path: Path, write: Callable[[BinaryIO], int]) -> int:
    """Write a new file that only its owner may read, all of it or none; `-`: to standard output."""
    if str(path) == "-":
        return write(sys.stdout.buffer)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RecordingFileError(f"{path}: {explain(error)}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            return write(file)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RecordingFileError(f"{path}: {explain(error)}") from None
        raise


def _lacking(damaged: int) -> str:
    return f"; {damaged} damaged places were left out" if damaged else ""
