"""`nodewarden config`: check the configuration, show the settings in force and their origin, print the schema."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from monitor.cli import show
from monitor.config.faults import Fault, InvalidConfigError, Origin, show_path
from monitor.settings.places import DEFAULT_PATH

if TYPE_CHECKING:  # the schema takes long to import, and most commands do without
    from monitor.settings.load import Loaded

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
@click.option("--strict", "is_strict", is_flag=True, help="Exit with 2 on warnings, too.")
def check(path: Path, as_json: bool, is_strict: bool) -> None:
    """Check the configuration and everything that it names; exit code 2 if something of it cannot run.

    Filters are loaded and compiled, jails of fail2ban read, and files, groups, interfaces and units looked for, with
    the rights of the caller; the daemon need not run. What may change later, such as a log that does not exist yet,
    is a warning.
    """
    from monitor.daemon.selfcheck.configuration import examine
    from monitor.settings.load import load

    try:
        loaded = load(path)
    except InvalidConfigError as error:
        _fail(error.faults, error.files, as_json)
    examined = examine(loaded)
    if examined.faults or (is_strict and examined.warnings):
        _fail(examined.faults, loaded.files, as_json, examined.warnings)
    if as_json:
        show.as_json(_verdict(examined.faults, examined.warnings, loaded.files))
        return
    _warn(examined.warnings)
    show.say(f"OK: {', '.join(_names(loaded.files))}")


@config_group.command("show")
@_config
@_json
def show_settings(path: Path, as_json: bool) -> None:
    """Print the settings in force, each with its file and line, and the detectors, each with where it comes from."""
    from monitor.settings.load import load

    try:
        loaded = load(path)
    except InvalidConfigError as error:
        _fail(error.faults, error.files, as_json)
    if as_json:
        show.as_json(_effective(loaded))
        return
    rows = list(_rows(loaded))
    key_width, value_width = (max(map(len, column)) for column in list(zip(*rows, strict=True))[:2])
    for place, value, origin in rows:
        show.say(f"{place:<{key_width}}  {value:<{min(value_width, 32)}}  {origin}")
    show.say()
    for name, one in _detectors(loaded).items():
        show.say(f"detector {name:<{key_width - 9}}  {one['mode']:<{min(value_width, 32)}}  {one['from']}")


@config_group.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    from monitor.settings.reference import json_schema

    show.as_json(json_schema())


def _rows(loaded: "Loaded") -> Iterator[tuple[str, str, Origin]]:
    """Yield path, value and origin of each setting; of a list that files add to, those of each entry."""
    from monitor.config.shapes import group_of, leaves
    from monitor.settings.reference import notation

    for place, value in leaves(group_of(type(loaded.settings)), loaded.settings):
        origin = loaded.origins[place]
        if not origin.entries:
            yield place, notation(value), origin
        for number, one in enumerate(origin.entries):
            yield f"{place}[{number}]", notation(value[number]), one


def _detectors(loaded: "Loaded") -> dict[str, dict[str, str]]:
    """Return mode and origin of each detector that would run, jails of fail2ban among them."""
    from monitor.daemon.pipeline.wiring import build_rules
    from monitor.daemon.sources.detector_origins import detector_origins
    from monitor.daemon.sources.log_filters import LogFilters

    filters = LogFilters(loaded.settings)
    origins = detector_origins(loaded, filters)
    rules = build_rules(loaded.settings, filters.sections)
    return {name: {"mode": policy.mode, "from": origins.get(name, "")} for name, policy in rules.detectors.items()}


def _effective(loaded: "Loaded") -> dict[str, Any]:
    """Return the settings in the configuration's notation, and the origin of each by its path."""
    from monitor.config.shapes import group_of, plain

    return {
        "files": _names(loaded.files),
        "detectors": _detectors(loaded),
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


def _fail(faults: Sequence[Fault], files: Sequence[Path], as_json: bool, warnings: Sequence[Fault] = ()) -> NoReturn:
    """Print all faults (JSON to standard output, text to standard error) and leave."""
    if as_json:
        show.as_json(_verdict(faults, warnings, files) | {"ok": False})
    else:
        _warn(warnings)
        for fault in faults:
            show.say_lines(str(fault), "  ", err=True)
    raise SystemExit(FAULTY)


def _warn(warnings: Sequence[Fault]) -> None:
    for one in warnings:
        show.say_lines(f"warning: {one}", "  ", err=True)


def _verdict(faults: Sequence[Fault], warnings: Sequence[Fault], files: Sequence[Path]) -> dict[str, Any]:
    """Return what was found, as JSON has it."""
    return {
        "ok": not faults,
        "files": _names(files),
        "faults": [_as_json(one) for one in faults],
        "warnings": [_as_json(one) for one in warnings],
    }


def _as_json(fault: Fault) -> dict[str, Any]:
    return {
        "file": show_path(fault.file),
        "line": fault.line,
        "column": fault.column,
        "path": fault.path,
        "message": fault.text,
    }


def _names(files: Sequence[Path]) -> list[str]:
    """Return file names that are safe to print."""
    return [show_path(file) for file in files]
