"""Which autonomous system and country an address is registered to, by databases that the user has (`.mmdb`).

The format is that of MaxMind, DB-IP and IPinfo; nothing is shipped. Files are read record by record in Python
(`MODE_FILE`): 0.3 ms a look-up, and no more memory. A file may be broken or made to do harm: whatever reading it
raises, and a record that takes longer than a second, ends the use of that file and nothing else.
"""

import signal
import stat
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from monitor.model.addresses import Network, format_address
from monitor.model.errors import explain

if TYPE_CHECKING:
    from maxminddb import Reader

PLACES = (Path("/usr/share/GeoIP"), Path("/var/lib/GeoIP"), Path("/usr/local/share/GeoIP"))
"""Where geoipupdate and distributions put databases."""
_MOST_FILES, _MOST_NAMES = 4, 1000
_LONGEST_S = 1.0
_MAX_TEXT = 100
_RAISED = (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, MemoryError)
"""What the library raises for files that are none: its own error is a RuntimeError."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What databases say of an address; what they do not know is zero or empty."""

    asn: int = 0
    as_name: str = ""
    country: str = ""
    is_partial: bool = False
    """It is about the first address of a network, whose other addresses may belong to others."""

    def __str__(self) -> str:
        number = f"AS{self.asn}" if self.asn else ""
        text = ", ".join(filter(None, (" ".join(filter(None, (number, self.as_name))), self.country)))
        return f"{text} (its first address)" if text and self.is_partial else text


def find(places: Iterable[Path] = PLACES) -> list[Path]:
    """Return databases in the usual directories: first those of autonomous systems, then those of countries."""
    found: list[Path] = []
    for place in places:
        try:
            names = [path for _, path in zip(range(_MOST_NAMES), place.iterdir(), strict=False)]
        except OSError:
            continue
        found += [path for path in names if path.suffix == ".mmdb"]
    return sorted(found, key=_rank)[:_MOST_FILES]


def _rank(path: Path) -> tuple[bool, bool, str]:
    name = path.name.lower()
    return "asn" not in name, "country" not in name and "ipinfo" not in name, name


def understand(record: object) -> Registration:
    """Return what a record of one of the known kinds of databases says."""
    if not isinstance(record, Mapping):
        return Registration()
    country = record.get("country", record.get("registered_country"))
    if isinstance(country, Mapping):
        country = country.get("iso_code")
    return Registration(
        asn=_number(record.get("autonomous_system_number", record.get("asn"))),
        as_name=_text(record.get("autonomous_system_organization", record.get("as_name", record.get("name")))),
        country=_text(record.get("country_code", country)),
    )


def _number(value: Any) -> int:
    """Read `13335` or `AS13335`."""
    if isinstance(value, str):
        digits = value[:12].upper().removeprefix("AS")
        value = int(digits) if digits.isascii() and digits.isdigit() else 0
    return value if isinstance(value, int) and 0 < value < 1 << 32 else 0


def _text(value: Any) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


class _Database:
    """One file."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises one of _RAISED, or struct.error."""
        from maxminddb import MODE_FILE, open_database

        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            raise OSError(0, "the file is empty" if stat.S_ISREG(status.st_mode) else "not a regular file")
        self.path = path
        self.is_understood = False
        """Whether a record said anything."""
        self.is_asked = False
        with _limited():
            self._reader: Reader = open_database(str(path), MODE_FILE)
        about = self._reader.metadata()
        self.has_v6 = about.ip_version == 6
        self.kind = _text(about.database_type)
        self._last: tuple[Network, Registration] | None = None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def look_up(self, network: Network) -> Registration:
        """Return what it says of the first address of a network."""
        if self._last and self._last[0].overlaps(network) and self._last[0].prefix_length <= network.prefix_length:
            return self._last[1]
        if len(network.address) == 16 and not self.has_v6:
            return Registration()
        with _limited():
            record, length = self._reader.get_with_prefix_len(format_address(network.address))
        found = understand(record)
        self.is_asked |= record is not None
        self.is_understood |= found != Registration()
        if 0 <= length <= network.prefix_length:
            bits = network.bits - length
            first = (int.from_bytes(network.address) >> bits << bits).to_bytes(len(network.address))
            self._last = Network(first, length), found
        elif found != Registration():
            return msgspec.structs.replace(found, is_partial=True)
        return found


@contextmanager
def _limited() -> Iterator[None]:
    """Raise TimeoutError in code that takes longer than it may: records can be made that expand without an end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _expire)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _expire(*_: object) -> None:
    raise TimeoutError(0, f"a record takes longer than {_LONGEST_S:g} s to read")


class Registries:
    """Databases, asked in turn until number and country are known."""

    def __init__(self, paths: Iterable[Path], *, is_chosen: bool) -> None:
        """Open the files; `is_chosen` says that the user named them, so that each must be of use."""
        self.faults: list[str] = []
        """Which files cannot be used, and why."""
        self._is_chosen = is_chosen
        self._open: list[_Database] = []
        for path in paths:
            try:
                self._open.append(_Database(path))
            except ImportError:
                self.faults.append(
                    "AS numbers need the library maxminddb: apt-get install python3-maxminddb, or pip install maxminddb"
                )
                return
            except (*_RAISED, struct.error) as error:
                self.faults.append(f"{path}: {_why(error)}")

    def look_up(self, network: Network) -> Registration:
        """Return what the databases say of a network."""
        found = Registration()
        for database in list(self._open):
            try:
                more = database.look_up(network)
            except (*_RAISED, struct.error) as error:
                self.faults.append(f"{database.path}: {_why(error)}; not used any more")
                database.close()
                self._open.remove(database)
                continue
            found = Registration(
                asn=found.asn or more.asn,
                as_name=found.as_name or more.as_name,
                country=found.country or more.country,
                is_partial=found.is_partial or more.is_partial,
            )
            if found.asn and found.country:
                break
        return found

    def close(self) -> None:
        """Close the files; files of another kind become faults."""
        for database in self._open:
            database.close()
            if self._is_chosen and database.is_asked and not database.is_understood:
                self.faults.append(
                    f"{database.path} (type {database.kind!r}) has neither AS numbers nor countries of these addresses"
                )
        self._open = []


def _why(error: BaseException) -> str:
    """Say what is wrong with a file, in one bounded line."""
    text = explain(error) if isinstance(error, OSError) else f"no usable database: {error or type(error).__name__}"
    return text[: 3 * _MAX_TEXT]
