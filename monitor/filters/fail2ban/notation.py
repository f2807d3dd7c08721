"""Notations in fail2ban's values: lists, switches, and names with parameters in brackets."""

import re
from collections.abc import Mapping

from monitor.filters.definition import FilterError

_KEY = re.compile(r"\s*([\w\-.]+(?:\?[\w\-.]+=[\w\-.]+)?)=")
_BARE = re.compile(r"[^,\]]*")
_SEPARATOR = re.compile(r"\s*(?:,|\]\s*\[|$)")
_TRUE = ("1", "on", "true", "yes")


def parse_filter_reference(text: str) -> tuple[str, dict[str, str]]:
    """Split `sshd[mode=aggressive, x="a,b"]` into the name and its parameters; FilterError if it is invalid."""
    name, bracket, rest = text.partition("[")
    name, rest = name.strip(), rest.rstrip()
    if not name or (bracket and not rest.endswith("]")):
        raise FilterError(f"{text[:80]!r} is not a filter: expected a name, or NAME[KEY=VALUE, ...]")
    parameters: dict[str, str] = {}
    rest, position = rest[:-1], 0
    while rest[position:].strip(" \t\n,"):
        position = _parse_parameter(rest, position, parameters)
    return name, parameters


def _parse_parameter(text: str, position: int, parameters: dict[str, str]) -> int:
    """Read `KEY=VALUE` and the separator after it; return the position of the next one."""
    key = _KEY.match(text, position)
    if key is None:
        raise FilterError(f"expected a parameter KEY=VALUE at {text[position : position + 40]!r}")
    start = key.end()
    quote = text[start : start + 1]
    close = text.find(quote, start + 1) if quote in ("'", '"') else -1
    if close >= 0:
        value, end = text[start + 1 : close], close + 1
    else:
        bare = _BARE.match(text, start)
        value, end = (bare[0], bare.end()) if bare else ("", start)
    separator = _SEPARATOR.match(text, end)
    if separator is None:
        raise FilterError(f"expected a comma after parameter {key[1]!r}, found {text[end : end + 40]!r}")
    parameters[key[1]] = value.strip()
    return separator.end()


def format_filter_reference(name: str, parameters: Mapping[str, str]) -> str:
    """Write the notation of `parse_filter_reference`; values are quoted if necessary."""
    if not parameters:
        return name
    return f"{name}[{', '.join(f'{key}={_quote(value)}' for key, value in parameters.items())}]"


def _quote(value: str) -> str:
    if not value.startswith(("'", '"')) and not set(value) & {",", "]"}:
        return value
    return f'"{value}"' if '"' not in value else f"'{value}'"


def split_words(text: str) -> tuple[str, ...]:
    """Split a list at commas and white space."""
    return tuple(text.replace(",", " ").split())


def is_true(text: str) -> bool:
    """Whether a switch is on; unknown text is off, as in fail2ban."""
    return text.lower() in _TRUE
