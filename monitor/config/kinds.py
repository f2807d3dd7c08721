"""Kinds of values: each defines how it is read from text, written back, and described in the JSON Schema.

A field of the schema has its kind in its annotation: `Annotated[float, duration("1s", "1w"), Meta(...)]`.
"""

import enum
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from monitor.config import types
from monitor.config.types import quote
from monitor.model.addresses import Network, parse_network
from monitor.model.pods import parse_pod_match

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

JsonSchema = Mapping[str, object]

_PATH_BYTES = 4095
_SOCKET_PATH_BYTES = 107  # sun_path of unix(7) has 108 bytes including the closing NUL
_NETWORK_LENGTH = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_FILTER = re.compile(r"(/[^\[\]]+\.(yaml|conf)|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})(\[.*\])?")
_DETECTOR_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_JOURNAL_TERM = re.compile("(?!__)[A-Z_][A-Z0-9_]{0,63}=.*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_DURATION_PATTERN = "^([0-9]+|(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
_BOOLEAN_PATTERN = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff])$"


class ValueKind(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """One notation: `noun` names it in messages, `read` raises ValueError, `write` returns the value for YAML."""

    noun: str
    read: Callable[[str], T]
    write: Callable[[T], bool | int | float | str]
    schema: JsonSchema


class Names(msgspec.Struct, frozen=True, eq=False):
    """The allowed names of named items: `pattern` must match, `noun` describes them in messages."""

    pattern: str
    noun: str
    reserved: tuple[str, ...] = ()
    read: Callable[[str], object] = str
    """Raises ValueError for a name that matches and is none."""

    def check(self, name: str) -> str:
        """Return the fault of a name; empty if it is valid."""
        if not re.fullmatch(self.pattern, name):
            return f"expected {self.noun}"
        try:
            self.read(name)
        except ValueError as error:
            return str(error)
        return "this name is reserved: bans and metrics use it for something else" if name in self.reserved else ""

    @property
    def schema(self) -> JsonSchema:
        """Return the JSON Schema of a name."""
        return {"pattern": f"^{self.pattern}$"} | ({"not": {"enum": list(self.reserved)}} if self.reserved else {})


def near(word: str, known: list[str]) -> str | None:
    """Return the known word that was probably meant; None if none is similar."""
    if len(word) > 64:
        return None  # the time of a comparison grows with the square of the length
    import difflib

    found = difflib.get_close_matches(word.lower(), known, n=1)
    return found[0] if found else None


def integer(low: int, high: int) -> ValueKind[int]:
    """Whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        value = types.parse_integer(text)
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range: expected {low} to {high}")
        return value

    return ValueKind(f"integer, {low} to {high}", read, int, {"type": "integer", "minimum": low, "maximum": high})


def among(*choices: int) -> ValueKind[int]:
    """One of a few whole numbers."""

    def read(text: str) -> int:
        value = types.parse_integer(text)
        if value not in choices:
            raise ValueError(f"{value} is not one of {', '.join(map(str, choices))}")
        return value

    return ValueKind("one of " + ", ".join(map(str, choices)), read, int, {"type": "integer", "enum": list(choices)})


def number(low: float, high: float) -> ValueKind[float]:
    """Numbers from `low` to `high`, with or without decimals."""

    def read(text: str) -> float:
        if len(text) > 32 or not _NUMBER.fullmatch(text):
            raise ValueError(f"{quote(text)} is not a number (expected for example 2 or 1.5)")
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"{quote(text)} is out of range: expected {low:g} to {high:g}")
        return value

    return ValueKind(f"number, {low:g} to {high:g}", read, float, {"type": "number", "minimum": low, "maximum": high})


def duration(low: str, high: str) -> ValueKind[float]:
    """Durations from `low` to `high` (both in the configuration's notation); the value is in seconds."""
    low_s, high_s = types.parse_duration(low), types.parse_duration(high)

    def read(text: str) -> float:
        value = types.parse_duration(text)
        if not low_s <= value <= high_s:
            raise ValueError(f"{quote(text)} is out of range: expected {low} to {high}")
        return value

    seconds = {"type": "integer", "minimum": -int(-low_s // 1), "maximum": int(high_s)}
    text = {"type": "string", "pattern": _DURATION_PATTERN, "examples": [low, "1h30m", high]}
    return ValueKind(f"duration, {low} to {high}", read, types.format_duration, {"anyOf": [text, seconds]})


def size(low: str, high: str) -> ValueKind[int]:
    """Sizes from `low` to `high` (both in the configuration's notation); the value is in bytes."""
    low_bytes, high_bytes = types.parse_size(low), types.parse_size(high)

    def read(text: str) -> int:
        value = types.parse_size(text)
        if not low_bytes <= value <= high_bytes:
            raise ValueError(f"{quote(text)} is out of range: expected {low} to {high}")
        return value

    bare = {"type": "integer", "minimum": low_bytes, "maximum": high_bytes}
    text = {"type": "string", "pattern": "^[0-9]+ ?([KkMmGgTt][Ii]?)?[Bb]?$", "examples": [low, high]}
    return ValueKind(f"size, {low} to {high}", read, types.format_size, {"anyOf": [text, bare]})


def choice(choices: type[E]) -> ValueKind[E]:
    """One of the values of an enumeration."""
    words = [str(member) for member in choices]

    def read(text: str) -> E:
        if text in words:
            return choices(text)
        meant = near(text, words)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueError(f"{quote(text)} is not one of {', '.join(words)}{hint}")

    return ValueKind(" or ".join(f"`{word}`" for word in words), read, str, {"type": "string", "enum": words})


def text(longest: int) -> ValueKind[str]:
    """Printable text of 1 to `longest` characters; empty text is refused because it would match every line."""

    def read(value: str) -> str:
        if not 1 <= len(value) <= longest:
            raise ValueError(f"expected a text of 1 to {longest} characters, found {quote(value)}")
        if not value.isprintable():
            raise ValueError(f"{quote(value)} contains unprintable characters")
        return value

    return ValueKind("text", read, str, {"type": "string", "minLength": 1, "maxLength": longest})


def path(longest_bytes: int = _PATH_BYTES) -> ValueKind[Path]:
    """Absolute paths of at most `longest_bytes` bytes."""

    def read(value: str) -> Path:
        return Path(_absolute(value, longest_bytes, "/run/nodewarden"))

    return ValueKind("absolute path", read, str, {"type": "string", "pattern": "^/", "maxLength": longest_bytes})


def _absolute(value: str, longest_bytes: int, example: str) -> str:
    """Read an absolute path as text."""
    if not value.startswith("/") or not value.isprintable():
        raise ValueError(f"{quote(value)} is not an absolute path (expected for example {example})")
    if len(value.encode()) > longest_bytes:
        raise ValueError(f"{quote(value)} is too long: expected at most {longest_bytes} bytes")
    return value


def _read_optional_path(value: str) -> str:
    return _absolute(value, _PATH_BYTES, "/etc/fail2ban") if value else ""


def _read_file_pattern(value: str) -> str:
    return _absolute(value, _PATH_BYTES, "/var/log/auth.log or /var/log/nginx/*error.log")


def _read_filter(value: str) -> str:
    """Read a reference to a filter; whether it exists is checked when it is loaded."""
    if not _FILTER.fullmatch(value) or not value.isprintable():
        raise ValueError(
            f"{quote(value)} is not a filter (expected for example sshd, sshd[mode=aggressive], or the absolute path "
            "of a *.yaml or *.conf)"
        )
    return value


def _read_pod_match(value: str) -> str:
    parse_pod_match(value)
    return value


def _read_journal_match(value: str) -> str:
    """Read match terms of journalctl(1), with `+` between groups."""
    groups = " ".join(value.split()).split(" + ")
    terms = [term for group in groups for term in group.split(" ")]
    if not value.isprintable() or not all(map(_JOURNAL_TERM.fullmatch, terms)):
        raise ValueError(
            f"{quote(value)} is not a journal match (expected for example "
            "_SYSTEMD_UNIT=ssh.service + SYSLOG_IDENTIFIER=sshd)"
        )
    return value


def _read_detector_name(value: str) -> str:
    """Read the name of a failures detector, which is the name of a jail."""
    if not _DETECTOR_NAME.fullmatch(value):
        raise ValueError(f"{quote(value)} is not a name of a detector (expected for example nginx-http-auth)")
    return value


def _read_timezone(value: str) -> str:
    """Read the name of a time zone, or an offset from UTC; empty text means the system's zone."""
    if value:
        types.parse_timezone(value)
    return value


def _read_group(value: str) -> str:
    """Read the name of a Unix group."""
    if not _GROUP.fullmatch(value):
        raise ValueError(f"{quote(value)} is not a group name (expected for example nodewarden)")
    return value


def _read_network(value: str) -> Network:
    """Read a network; bounded, so that the message is bounded too."""
    if len(value) > _NETWORK_LENGTH:
        raise ValueError(f"{quote(value)} is not a network (expected for example 192.0.2.0/24 or 2001:db8::/32)")
    return parse_network(value)


BOOLEAN: ValueKind[bool] = ValueKind(
    "boolean",
    types.parse_boolean,
    bool,
    {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _BOOLEAN_PATTERN}]},
)
NETWORK: ValueKind[Network] = ValueKind(
    "network", _read_network, str, {"type": "string", "examples": ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"]}
)
PORT: ValueKind[int] = ValueKind("port", types.parse_port, int, {"type": "integer", "minimum": 1, "maximum": 65535})


PORT_RANGE: ValueKind[types.PortRange] = ValueKind(
    "port range",
    types.parse_port_range,
    str,
    {
        "anyOf": [
            {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$", "examples": ["32768-60999"]},
            {"type": "integer", "minimum": 1, "maximum": 65535},
        ]
    },
)
AUTO_PORT_RANGE: ValueKind[types.PortRange | types.Automatic] = ValueKind(
    "port range or `auto`",
    lambda text: types.Automatic.AUTO if text == types.Automatic.AUTO else types.parse_port_range(text),
    str,
    {
        "anyOf": [
            {"type": "string", "pattern": "^(auto|[0-9]{1,5}(-[0-9]{1,5})?)$", "examples": ["auto", "32768-60999"]},
            {"type": "integer", "minimum": 1, "maximum": 65535},
        ]
    },
)
ENDPOINT: ValueKind[types.Endpoint] = ValueKind(
    "address and port",
    types.parse_endpoint,
    str,
    {
        "type": "string",
        "pattern": r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
        "examples": ["127.0.0.1:9843", "[::1]:9843"],
    },
)
GROUP: ValueKind[str] = ValueKind("group name", _read_group, str, {"type": "string", "pattern": f"^{_GROUP.pattern}$"})
SOCKET_PATH: ValueKind[Path] = path(_SOCKET_PATH_BYTES)
OPTIONAL_PATH: ValueKind[str] = ValueKind(
    "absolute path or empty",
    _read_optional_path,
    str,
    {"type": "string", "pattern": "^(/|$)", "maxLength": _PATH_BYTES},
)
FILE_PATTERN: ValueKind[str] = ValueKind(
    "absolute path, may contain `*`",
    _read_file_pattern,
    str,
    {"type": "string", "pattern": "^/", "maxLength": _PATH_BYTES, "examples": ["/var/log/nginx/*error.log"]},
)
FILTER: ValueKind[str] = ValueKind(
    "name or path of a filter",
    _read_filter,
    str,
    {"type": "string", "pattern": f"^{_FILTER.pattern}$", "examples": ["sshd", "sshd[mode=aggressive]"]},
)
JOURNAL_MATCH: ValueKind[str] = ValueKind(
    "journal match",
    _read_journal_match,
    str,
    {"type": "string", "pattern": "^ *[A-Z_][A-Z0-9_]*=", "examples": ["_SYSTEMD_UNIT=ssh.service + _COMM=sshd"]},
)
POD_MATCH: ValueKind[str] = ValueKind(
    "pods' containers",
    _read_pod_match,
    str,
    {
        "type": "string",
        "pattern": "^[a-z0-9.*?-]+/[a-z0-9.*?-]+/[a-z0-9.*?-]+$",
        "examples": ["ingress-nginx/*/controller"],
    },
)
DETECTOR_NAME: ValueKind[str] = ValueKind(
    "name of a detector",
    _read_detector_name,
    str,
    {"type": "string", "pattern": f"^{_DETECTOR_NAME.pattern}$", "examples": ["nginx-http-auth"]},
)
TIMEZONE: ValueKind[str] = ValueKind(
    "time zone or empty", _read_timezone, str, {"type": "string", "examples": ["", "Europe/Berlin", "UTC+02:00"]}
)
