"""`nodewarden config`: check the configuration, show the settings in force and their origin, print the schema."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from monitor.cli import show
from monitor.config.faults import InvalidConfigError, Origin, show_path
from monitor.config.shapes import group_of, leaves, plain
from monitor.settings.load import DEFAULT_PATH, Loaded, load
from monitor.settings.reference import json_schema, notation

FAULTY = 2
"""Exit code for an invalid configuration."""

_config = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The main file; conf.d/*.yaml in its directory is read as well.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command()
@_config
@_json
def check(path: Path, as_json: bool) -> None:
    """Check the configuration; exit code 2 if it is invalid."""
    try:
        loaded = load(path)
    except InvalidConfigError as error:
        _fail(error, as_json)
    if as_json:
        show.as_json({"ok": True, "files": _names(loaded.files), "faults": []})
    else:
        show.say(f"OK: {', '.join(_names(loaded.files))}")


@config_group.command("show")
@_config
@_json
def show_settings(path: Path, as_json: bool) -> None:
    """Print the settings in force, each with its file and line."""
    try:
        loaded = load(path)
    except InvalidConfigError as error:
        _fail(error, as_json)
    if as_json:
        show.as_json(_effective(loaded))
        return
    rows = list(_rows(loaded))
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for place, value, origin in rows:
        show.say(f"{place:<{key_width}}  {value:<{min(value_width, 32)}}  {origin}")


@config_group.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    show.as_json(json_schema())


def _rows(loaded: Loaded) -> Iterator[tuple[str, str, Origin]]:
    """Yield path, value and origin of each setting; of a list that files add to, those of each entry."""
    for place, value in leaves(group_of(type(loaded.settings)), loaded.settings):
        origin = loaded.origins[place]
        if not origin.entries:
            yield place, notation(value), origin
        for number, one in enumerate(origin.entries):
            yield f"{place}[{number}]", notation(value[number]), one


def _effective(loaded: Loaded) -> dict[str, Any]:
    """Return the settings in the configuration's notation, and the origin of each by its path."""
    return {
        "files": _names(loaded.files),
        "settings": plain(group_of(type(loaded.settings)), loaded.settings),
        "origins": {
            **{place: str(origin) for place, origin in loaded.origins.items()},
            **{
                f"{place}[{number}]": str(one)
                for place, origin in loaded.origins.items()
                for number, one in enumerate(origin.entries)
            },
        },
    }


def _fail(error: InvalidConfigError, as_json: bool) -> NoReturn:
    """Print all faults (JSON to standard output, text to standard error) and leave."""
    if as_json:
        faults = [
            {"file": show_path(f.file), "line": f.line, "column": f.column, "path": f.path, "message": f.text}
            for f in error.faults
        ]
        show.as_json({"ok": False, "files": _names(error.files), "faults": faults})
    else:
        show.say_lines(str(error), err=True)
    raise SystemExit(FAULTY)


def _names(files: Sequence[Path]) -> list[str]:
    """Return file names that are safe to print."""
    return [show_path(file) for file in files]
