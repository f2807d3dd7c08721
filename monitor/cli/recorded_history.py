"""Options of commands that look at a recorded history."""

from collections.abc import Callable
from pathlib import Path

import click

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
