"""Notations of the configuration: pure functions that convert text to values and back.

Each `parse_*` raises ValueError with a sentence that names the expected text; the text from a `format_*` is read back
to the same value by its `parse_*`.
"""

import datetime
import enum
import re

import msgspec

from monitor.model.addresses import format_address, parse_address

_QUOTED_LENGTH = 60

_DURATION_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _DURATION_UNITS_MS))
# Milliseconds below this are exact in a float of seconds, so a duration is unchanged after writing and reading it.
_DURATION_LIMIT_MS = 2**53

_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE_UNITS_FOLDED = {unit.lower(): factor for unit, factor in _SIZE_UNITS.items()}
_SIZE = re.compile(r"([0-9]{1,18}) ?([A-Za-z]*)")

_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([0-9.]+)):([0-9]{1,5})")
_OFFSET = re.compile("(?:Z|UTC|GMT)?(?:([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?", re.ASCII)
_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Automatic(enum.StrEnum):
    """A value that the daemon determines automatically."""

    AUTO = "auto"


class Inherited(enum.StrEnum):
    """A value that is that of the section around."""

    INHERIT = "inherit"


class PortRange(msgspec.Struct, frozen=True, order=True):
    """Transport ports `first` to `last`, both included; 1 <= first <= last <= 65535."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        """Whether `port` is in the range."""
        return self.first <= port <= self.last

    def __str__(self) -> str:
        """Return `32768-60999`, or one number if first and last are the same."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """An address to listen on: `host` is an IP address in canonical notation, `port` is in 1..65535."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `127.0.0.1:9843` or `[::1]:9843`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def quote(text: str) -> str:
    """Quote the operator's text for a message: control characters are escaped, long text is truncated."""
    return repr(text) if len(text) <= _QUOTED_LENGTH else f"{text[:_QUOTED_LENGTH]!r}..."


def parse_boolean(text: str) -> bool:
    """Read true/false, yes/no or on/off in any case."""
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise ValueError(f"{quote(text)} is neither true nor false (yes/no and on/off are accepted too)")
    return value


def parse_integer(text: str) -> int:
    """Read a decimal whole number; leading zeros are refused because YAML 1.1 reads them as octal."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{quote(text)} is not a whole number (expected for example 15)")
    return int(text)


def parse_duration(text: str) -> float:
    """Read `90s`, `10m`, `1h30m`, `4w`, `500ms` or a bare number of seconds; returns seconds."""
    match = _DURATION.fullmatch(f"{text}s" if text.isascii() and text.isdigit() else text)
    if not text or match is None:
        raise ValueError(
            f"{quote(text)} is not a duration (expected for example 90s, 10m or 1h30m; units w d h m s ms, "
            "largest first, each once; a bare number means seconds)"
        )
    total_ms = sum(
        int(count or 0) * unit for count, unit in zip(match.groups(), _DURATION_UNITS_MS.values(), strict=True)
    )
    if total_ms >= _DURATION_LIMIT_MS:
        raise ValueError(f"{quote(text)} is too long for a duration")
    return total_ms / 1000


def format_duration(duration_s: float) -> str:
    """Write seconds (to the millisecond, not negative) in the notation that `parse_duration` reads."""
    left_ms = round(duration_s * 1000)
    if left_ms < 0:
        raise ValueError("a duration cannot be negative")
    parts = []
    for unit, unit_ms in _DURATION_UNITS_MS.items():
        if unit == "w" and left_ms % unit_ms:
            continue  # "365d" is clearer than "52w1d"
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Read `64KiB`, `1MiB`, `10MB` or bare bytes, units in any case; returns bytes."""
    match = _SIZE.fullmatch(text)
    factor = _SIZE_UNITS_FOLDED.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"{quote(text)} is not a size (expected for example 64KiB or 10MB; units B KB MB GB TB KiB MiB GiB TiB, "
            "a bare number means bytes)"
        )
    return int(match[1]) * factor


def format_size(size_bytes: int) -> str:
    """Write bytes (not negative) with the largest unit that leaves a whole number."""
    if size_bytes < 0:
        raise ValueError("a size cannot be negative")
    fitting = [(factor, unit) for unit, factor in _SIZE_UNITS.items() if size_bytes % factor == 0 and factor > 1]
    factor, unit = max(fitting) if fitting and size_bytes else (1, "")
    return f"{size_bytes // factor}{unit}"


def parse_port(text: str) -> int:
    """Read a transport port, 1 to 65535."""
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{quote(text)} is not a port (expected a number from 1 to 65535)")
    return int(text)


def parse_port_range(text: str) -> PortRange:
    """Read `FIRST-LAST`, or one port for a range of one."""
    first, dash, last = text.partition("-")
    try:
        ports = PortRange(parse_port(first), parse_port(last if dash else first))
    except ValueError:
        message = f"{quote(text)} is not a port range (expected for example 32768-60999; ports are 1 to 65535)"
        raise ValueError(message) from None
    if ports.first > ports.last:
        raise ValueError(f"{quote(text)} is in reverse order; did you mean {ports.last}-{ports.first}?")
    return ports


def parse_endpoint(text: str) -> Endpoint:
    """Read `ADDRESS:PORT`, with IPv6 addresses in brackets; host names are refused: they may resolve to any address."""
    match = _ENDPOINT.fullmatch(text)
    try:
        host, port = (match[1] or match[2], match[3]) if match else ("", "")
        return Endpoint(format_address(parse_address(host)), parse_port(port))
    except ValueError:
        raise ValueError(
            f"{quote(text)} is not an address to listen on (expected an IP address and a port, for example "
            "127.0.0.1:9843 or [::1]:9843; 0.0.0.0 and [::] mean all addresses)"
        ) from None


def parse_timezone(text: str) -> datetime.tzinfo:
    """Read the name of a time zone (`Europe/Berlin`) or an offset from UTC, east positive (`UTC+02:00`, `+0200`)."""
    offset = _OFFSET.fullmatch(text) if text else None
    if offset:
        minutes = int(offset[2] or 0) * 60 + int(offset[3] or 0)
        return datetime.timezone(datetime.timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(text)
    except (ValueError, KeyError, OSError):  # not a name, unknown, or a directory of zones
        raise ValueError(
            f"{quote(text)} is not a time zone (expected for example Europe/Berlin or UTC+02:00)"
        ) from None
