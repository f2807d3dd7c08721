"""Settings of a program, each with the file that it is from. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.audit.host import Setting
from monitor.audit.hosting.flags import MAX_VALUE
from monitor.node.documents import as_mapping


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
