"""Options of commands that look at a recorded history, and where they find it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.settings.load import load

if TYPE_CHECKING:
    from monitor.recording.reader import Recording

_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--labels", type=click.Path(path_type=Path), help="The labels.json of the node, if it is another one."
    ),
    click.option(
        "--recording",
        default="",
        metavar="NAME|FILE",
        help="An imported recording (NAME) or an exported one (FILE); default: that of this node.",
    ),
)


def recorded_history(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say whose history: `--recording` (text) and `--labels` (path or None)."""
    for option in _OPTIONS:
        command = option(command)
    return command


def recording_directory(config_path: Path) -> Path:
    """Return where the daemon with this configuration records. ConfigError if it cannot be read."""
    settings = load(config_path).settings
    return settings.state.directory / settings.recording.directory


def find_recording(wanted: str, config_path: Path) -> "Recording":
    """Return the recording of a path or a name, for an empty text the daemon's own.

    Only names of imported recordings need the configuration. Raises RecordingError, ConfigError if it cannot be read.
    """
    from monitor.recording.bounds import RecordingError
    from monitor.recording.exchange import find

    if wanted and ("/" in wanted or Path(wanted).exists()):
        return find(Path(), wanted)
    if wanted and not config_path.exists():
        raise RecordingError(f"{wanted}: there is no such file, and no {config_path} that says where imported ones are")
    return find(recording_directory(config_path), wanted)


def nothing_in(recording: "Recording") -> str:
    """Say which time a recording covers that has nothing of the wanted one."""
    return f"{recording.path}: nothing was recorded in that time; {recording.coverage()}"
