"""Reads what is left of a damaged jail file: a typo in one of them must not end the jails of all others.

fail2ban refuses such a configuration as a whole. Here only what is damaged is lost: a jail whose section has a fault in
any file does not run, and all other lines count, among them those that switch jails off or exempt addresses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from monitor.files.regular import read_regular
from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.ini import SIZE_LIMIT_BYTES, IniFile, IniParser


class Damage(NamedTuple):
    """One fault, and the section that it is in; empty: the whole file cannot be read."""

    section: str
    text: str


class _LenientParser(IniParser):
    """Leaves out lines with a fault, with those that continue them."""

    def __init__(self, file: str, damages: list[Damage]) -> None:
        super().__init__(file)
        self._damages = damages
        self._name = "DEFAULT"

    def take(self, number: int, line: str) -> None:
        try:
            super().take(number, line)
        except FilterError as error:
            self._value = []
            if line.strip().startswith("["):  # a section that occurs twice
                self._section = {}
                self._name = _section_name(line)
            self._damages.append(Damage(self._name, str(error)))
            return
        if line.strip().startswith("[") and not self._section:
            self._name = _section_name(line)


def read_damaged(path: Path, error: FilterError, damages: dict[Path, list[Damage]]) -> IniFile | None:
    """Return what is left of a file that cannot be read because of `error`; note its faults in `damages`."""
    found = damages.setdefault(path, [])
    try:
        data = read_regular(path, SIZE_LIMIT_BYTES)
    except (OSError, ValueError):
        data = b""
    if not data or len(data) > SIZE_LIMIT_BYTES:
        found.append(Damage("", str(error)))
        return None
    parser = _LenientParser(str(path), found)
    sections = _undecodable(data)
    for number, line in enumerate(data.decode(errors="replace").replace("\r\n", "\n").split("\n"), 1):
        parser.take(number, line)
    found += [Damage(section, str(error)) for section in sections]
    if not found:
        found.append(Damage("", str(error)))
    return parser.finish()


def _undecodable(data: bytes) -> list[str]:
    """Return the sections with bytes that are not UTF-8."""
    name, found = "DEFAULT", []
    for line in data.split(b"\n"):
        text = line.decode(errors="replace").strip()
        if text.startswith("[") and "]" in text:
            name = _section_name(text)
        if _is_damaged(line.decode) and name not in found:
            found.append(name)
    return found


def _is_damaged(decode: Callable[[], str]) -> bool:
    try:
        decode()
    except UnicodeDecodeError:
        return True
    return False


def _section_name(line: str) -> str:
    text = line.strip()
    return text[1 : text.rfind("]")]
