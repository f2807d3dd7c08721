"""Load the whole configuration."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from monitor.config.faults import Origin
from monitor.config.load import load_as
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings


class Loaded(msgspec.Struct, frozen=True):
    """The settings, where each value comes from (field path to origin), and the files read, in that order."""

    settings: Settings
    origins: Mapping[str, Origin]
    files: tuple[Path, ...]


_NONE: Mapping[Path, bytes] = MappingProxyType({})


def load(path: Path = DEFAULT_PATH, standing: Mapping[Path, bytes] = _NONE) -> Loaded:
    """Read `path` and `conf.d/*.yaml` in its directory; a later file wins key by key.

    The contents in `standing` take the place of the files of these paths, which need not exist: a trial configuration.
    Raises InvalidConfigError (a ConfigError) with every fault of every file, TemporaryError if they cannot be read now.
    """
    settings, origins, files = load_as(Settings, path, standing)
    return Loaded(settings, MappingProxyType(origins), files)
