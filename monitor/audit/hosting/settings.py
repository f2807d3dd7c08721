"""Settings of a program from several places, each with the file that it is from. Pure, except for `Reader`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monitor.audit.host import Setting
from monitor.audit.hosting.flags import MAX_VALUE
from monitor.audit.hosting.rooted import names_within, read_within
from monitor.model.errors import MalformedRecord, explain
from monitor.node.documents import as_mapping, load_yaml

MAX_FILE_BYTES = 1 << 20
_MAX_FILES = 256


class Unreadable(Exception):  # noqa: N818 - the state of a file, which becomes a gap
    """A file that a program names cannot be used; the text says which, and why."""


class Reader(NamedTuple):
    """Reads files as one process sees them."""

    root: Path
    """The process's root directory."""

    def document(self, path: str) -> dict[Any, Any]:
        """Return the mapping in a YAML or JSON file; `Unreadable` if there is none."""
        try:
            return as_mapping(load_yaml(self.text(path)))
        except MalformedRecord as error:
            raise Unreadable(f"{path[:256]}: {error}") from error

    def text(self, path: str) -> str:
        """Return the text of a file; `Unreadable` if it cannot be read."""
        try:
            return read_within(self.root, path, MAX_FILE_BYTES).decode(errors="replace")
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path[:256]} cannot be read: {explain(error)}") from error

    def names(self, path: str, suffixes: tuple[str, ...]) -> list[str]:
        """Return the paths of files in a directory that end so, sorted; `Unreadable` if it cannot be listed."""
        try:
            found = names_within(self.root, path, _MAX_FILES)
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path[:256]} cannot be listed: {explain(error)}") from error
        return [f"{path.rstrip('/')}/{name}" for name in found if name.endswith(suffixes) and not name.startswith(".")]


def set_by(values: Mapping[str, str], location: str = "") -> dict[str, Setting]:
    """Return values as settings of one place."""
    return {name: Setting(value=value[:MAX_VALUE], location=location[:256]) for name, value in values.items()}


def with_defaults(settings: Mapping[str, Setting], defaults: Mapping[str, str]) -> dict[str, Setting]:
    """Return settings, with defaults where there is none."""
    missing = {name: Setting(value=value, is_default=True) for name, value in defaults.items()}
    return {**missing, **settings}


def scalars(document: Mapping[Any, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """Return the scalars of a document by flag; `fields` has the path of keys, joined by `.`, for each flag."""
    found = {flag: _at(document, path.split(".")) for flag, path in fields.items()}
    return {flag: value for flag, value in found.items() if value is not None}


def _at(document: Any, keys: Iterable[str]) -> str | None:
    for key in keys:
        document = as_mapping(document).get(key)
    if isinstance(document, list):
        return ",".join(item for item in document if isinstance(item, str))
    return document if isinstance(document, str) else None
