"""The fragment of the configuration that `nodewarden tune --write` keeps: `conf.d/70-tuned.yaml`.

It holds what was tuned and nothing else; what it held before stays. It is put in place only if the whole configuration
is valid with it and really has these values then, in one step, with owner and mode of the main file.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from monitor.config.faults import InvalidConfigError
from monitor.config.shapes import group_of, leaves
from monitor.model.errors import ConfigError, TemporaryError, explain
from monitor.settings.load import Loaded, load

FILE_NAME = "70-tuned.yaml"
_MAX_BYTES = 1 << 20
_HEAD = "# Written by `nodewarden tune`, which keeps the values of other detectors; comments are lost.\n"

Values = Mapping[str, bool | int | float | str]
"""By key of a detector's section, its value in the configuration's notation."""


def path_of(detector: str, failures: Mapping[str, object]) -> tuple[str, ...]:
    """Return the path of a detector's section; `failures` are the sections of detectors that watch logs, by name."""
    return ("detectors", "failures", detector) if detector in failures else ("detectors", detector)


def as_yaml(path: tuple[str, ...], values: Values) -> str:
    """Write values at a path, as a file of the configuration."""
    return _dump(_merged({}, path, values))


def content(main: Path, path: tuple[str, ...], values: Values) -> str:
    """Return the fragment of a main file as it will be with values at a path; ConfigError if it cannot be changed."""
    return _HEAD + _dump(_merged(_read(main.parent / "conf.d" / FILE_NAME), path, values))


def write(main: Path, path: tuple[str, ...], values: Values) -> Path:
    """Put values into the fragment of a main file, and return its place.

    Raises ConfigError if the fragment is none that can be changed, if the configuration is not valid with it, or if a
    later file sets other values; TemporaryError if it cannot be written. Nothing is changed then.
    """
    directory = main.parent / "conf.d"
    target = directory / FILE_NAME
    text = content(main, path, values)
    try:
        _check(main, text, path, values)
        directory.mkdir(exist_ok=True)
        _put(target, text, main.stat())
    except OSError as error:
        raise TemporaryError(f"{target} cannot be written: {explain(error)}") from error
    return target


def _read(target: Path) -> dict[str, Any]:
    """Return what the fragment holds."""
    try:
        with target.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        held = yaml.safe_load(text) if len(text) <= _MAX_BYTES else None
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{target} cannot be read: {error}; repair it or move it away") from error
    if held is None and not text.strip():
        return {}
    if not isinstance(held, dict):
        raise ConfigError(f"{target} holds no configuration; repair it or move it away")
    return held


def _merged(held: dict[str, Any], path: tuple[str, ...], values: Values) -> dict[str, Any]:
    """Return the content of the fragment with values in it."""
    place = held
    for key in path:
        inner = place.setdefault(key, {})
        if inner is None:
            inner = place[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{FILE_NAME}: {key} is no section; repair the file or move it away")
        place = inner
    place.update(values)
    return held


def _dump(held: dict[str, Any]) -> str:
    return str(yaml.safe_dump(held, sort_keys=False, default_flow_style=False, allow_unicode=True))


def _check(main: Path, text: str, path: tuple[str, ...], values: Values) -> None:
    """Read the whole configuration as it would be; ConfigError if it is not valid, or another file wins."""
    with tempfile.TemporaryDirectory(prefix="nodewarden-tune-") as scratch:
        copy = Path(scratch) / main.name
        shutil.copyfile(main, copy)
        (copy.parent / "conf.d").mkdir()
        for one in sorted((main.parent / "conf.d").glob("*.yaml")):
            shutil.copyfile(one, copy.parent / "conf.d" / one.name)
        (copy.parent / "conf.d" / FILE_NAME).write_text(text)
        try:
            loaded = load(copy)
        except InvalidConfigError as error:
            raise ConfigError(str(error).replace(scratch, str(main.parent))) from error
        for key, value in values.items():
            _check_value(loaded, ".".join((*path, key)), value)


def _check_value(loaded: Loaded, place: str, value: object) -> None:
    """Raise ConfigError if a value is not the one in force."""
    in_force = dict(leaves(group_of(type(loaded.settings)), loaded.settings)).get(place)
    if in_force != value:
        where = loaded.origins.get(place)
        name = where.file.name if where is not None and where.file is not None else "another file"
        raise ConfigError(f"{name} sets {place} to {in_force} and is read after {FILE_NAME}: change it there")


def _put(target: Path, text: str, like: os.stat_result) -> None:
    """Replace the fragment in one step; its new content outlives a loss of power."""
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            with contextlib.suppress(PermissionError):  # a caller that is not root keeps it
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), like.st_mode & 0o666)
            os.fsync(file.fileno())
        new.replace(target)
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError:
        new.unlink(missing_ok=True)
        raise
