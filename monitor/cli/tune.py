"""`nodewarden tune`: which thresholds of a detector find offenders and spare known-good sources."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from monitor.cli import completion, show
from monitor.cli.progress import through, watched
from monitor.cli.recorded_history import recorded_history
from monitor.cli.values import WHEN
from monitor.model.errors import ConfigError, NodewardenError, PermanentError, explain
from monitor.settings.places import DEFAULT_PATH

if TYPE_CHECKING:
    from monitor.daemon.sources.log_filters import LogFilters
    from monitor.daemon.tuning.history import Swept
    from monitor.recording.inputs import Input, Skipped
    from monitor.recording.reader import Recording
    from monitor.settings.schema import Settings

_PATH = click.Path(path_type=Path)
_OTHER_PICTURES = frozenset({".gif", ".jpeg", ".jpg", ".pdf", ".png", ".webp"})


@click.command()
@click.argument("detector", shell_complete=completion.detectors)
@click.option(
    "--config",
    "path",
    type=_PATH,
    help=f"The main file with today's values; default: {DEFAULT_PATH}, or what was recorded if that does not exist.",
)
@recorded_history
@click.option(
    "--since",
    "since_s",
    type=WHEN,
    metavar="WHEN",
    help="Start: a duration before now (`36h`), a date or a time; default: 7d, or all of --recording.",
)
@click.option("--svg", "drawing", type=_PATH, metavar="FILE", help="Write the drawing to a file as well.")
@click.option(
    "--fragment",
    type=_PATH,
    metavar="FILE",
    help="Write what --write would put there to another file, for `nodewarden apply`.",
)
@click.option(
    "--write",
    "is_written",
    is_flag=True,
    help="Write the proposed values to 70-tuned.yaml in conf.d of the main file; they have effect after a reload.",
)
@show.json_option
def tune(
    detector: str,
    path: Path | None,
    recording: str,
    labels: Path | None,
    since_s: float | None,
    drawing: Path | None,
    fragment: Path | None,
    is_written: bool,
    is_json: bool,
) -> None:
    """Propose thresholds for a detector by what they would have found in the recorded history.

    Tries many pairs of `maxretry` and `findtime` at once, and shows for each how many offenders it finds and how many
    known-good sources it hits: those on the allowlist, in internal networks, labelled good, and clients of long
    standing. Offenders are all others. Exit code 1: there is no history of this detector.
    """
    from monitor.cli import tune_chart, tune_report
    from monitor.daemon.tuning.fragment import content, write

    if drawing is not None and drawing.suffix.lower() in _OTHER_PICTURES:
        raise click.BadParameter(f"{drawing}: the drawing is SVG, name it so; `rsvg-convert` makes PNG of it")
    swept, main = _sweep(detector, path, recording, labels, since_s)
    if drawing is not None:
        _put(drawing, tune_chart.svg(swept.tuning, tune_report.texts(swept)))
    if is_json:
        show.as_json(tune_report.as_document(swept))
    else:
        tune_report.print_result(swept)
    if (fragment is None and not is_written) or not _has_values(swept, is_json=is_json):
        return
    if fragment is not None:
        _put(fragment, content(main, swept.path, swept.changes))
    if is_written:
        written = write(main, swept.path, swept.changes)
        show.say(f"written to {written}", err=is_json)
        show.say("next: nodewarden reload", err=is_json)


def _sweep(
    detector: str, path: Path | None, recording: str, labels: Path | None, since_s: float | None
) -> "tuple[Swept, Path]":
    """Sweep; return what was found, and the main file of the configuration."""
    from monitor.daemon.sources.log_filters import LogFilters
    from monitor.daemon.tuning.history import sweep_history
    from monitor.daemon.tuning.known_good import unlike_pseudonyms
    from monitor.daemon.tuning.label_file import read_label_file, read_labels
    from monitor.daemon.tuning.labels import Labels
    from monitor.recording.exchange import find
    from monitor.settings.load import load
    from monitor.settings.schema import Settings

    main = path or DEFAULT_PATH
    if path is None and recording and not DEFAULT_PATH.exists():
        read = find(Path(), recording)
        settings, filters = _recorded(read)
        known = Labels()
    else:
        settings = load(main).settings
        filters = LogFilters(settings)
        read = find(settings.state.directory / settings.recording.directory, recording)
        known = read_labels(settings.state.directory)
    if labels is not None:
        known = read_label_file(labels)
    if not read.path.exists():
        raise PermanentError(f"{read.path}: no recording is there")
    if since_s is None:
        since_s = float("-inf") if recording else time.time() - 7 * 86_400.0
    first_s = since_s

    def inputs(kinds: frozenset[str]) -> "Iterator[Input | Skipped]":
        return watched(read.inputs(first_s, wanted=kinds), through(read, first_s))

    swept = sweep_history(inputs, detector, settings, filters, known)
    # what the recording says of itself has its pseudonyms; only what is named here has not
    is_ours = path is not None or not recording or DEFAULT_PATH.exists()
    if read.has_pseudonyms and (text := unlike_pseudonyms(settings if is_ours else Settings(), known)):
        swept = msgspec.structs.replace(swept, notes=(*swept.notes, text))
    return swept, main


def _recorded(read: "Recording") -> "tuple[Settings, LogFilters]":
    """Return the configuration that a recording starts with."""
    from monitor.daemon.sources.recorded_settings import read_filters, read_settings
    from monitor.recording.inputs import Configured

    for one in read.inputs(wanted=()):
        if isinstance(one, Configured):
            return read_settings(one), read_filters(one)
    raise PermanentError(f"{read.path} holds no configuration: name one with --config")


def _put(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NodewardenError(f"{path} cannot be written: {explain(error)}") from error


def _has_values(swept: "Swept", *, is_json: bool) -> bool:
    """Whether there are values to write; otherwise say why not."""
    if not swept.path:
        raise ConfigError(f"{swept.detector} is a jail of fail2ban: set the values in its configuration")
    if not swept.changes:
        show.say("nothing to write: there is no other value to propose", err=is_json)
    return bool(swept.changes)
