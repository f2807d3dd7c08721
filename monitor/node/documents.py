"""Reads YAML and JSON that others wrote: bounded, and without trust in their shape."""

from typing import Any

import msgspec
import yaml

from monitor.model.errors import MalformedRecord

_MAX_DEPTH = 64
_MAX_YAML_EVENTS = 20_000


def load_yaml(text: str) -> Any:
    """Return the first document, all scalars as text; MalformedRecord if there is none, or it is too large.

    Aliases are refused, because they can expand to gigabytes.
    """
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
            if count > _MAX_YAML_EVENTS:  # composing them would block the interpreter, and so the daemon
                raise MalformedRecord("yaml", f"more than {_MAX_YAML_EVENTS} parts")
            if isinstance(event, yaml.AliasEvent):
                raise MalformedRecord("yaml", "aliases are not followed")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise MalformedRecord("yaml", f"nested more than {_MAX_DEPTH} deep")
        return next(yaml.load_all(text, Loader=yaml.CBaseLoader), None)
    except (yaml.YAMLError, ValueError) as error:
        raise MalformedRecord("yaml", " ".join(str(error).split())[:200]) from error


def load_json(text: str) -> Any:
    """Return the document; MalformedRecord if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise MalformedRecord("json", str(error)[:200]) from error


def as_mapping(value: Any) -> dict[Any, Any]:
    """Return a mapping; empty if it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list; empty if it is none."""
    return value if isinstance(value, list) else []


def as_texts(value: Any) -> list[str]:
    """Return the parts of a comma-separated text or of a list of such texts."""
    values = value if isinstance(value, list) else [value]
    return [part.strip() for item in values if isinstance(item, str) for part in item.split(",") if part.strip()]
