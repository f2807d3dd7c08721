"""Reads one ini file of fail2ban: bytes to sections of options, each with its line. Bounded; expands nothing."""

import re
from pathlib import Path
from typing import TypeAlias

import msgspec

from monitor.files.regular import read_regular
from monitor.filters.definition import FilterError

SIZE_LIMIT_BYTES = 1 << 20
_INLINE_COMMENT = re.compile(r"(?:^|(?<=\s));")
_DELIMITER = re.compile("[=:]")


class Option(msgspec.Struct, frozen=True):
    """The raw text of an option, with its file and line; `line` is 0 if it is from no file."""

    text: str
    file: str = ""
    line: int = 0

    @property
    def location(self) -> str:
        """Return `FILE:LINE`, or the known part of it."""
        return f"{self.file}:{self.line}" if self.line else self.file or "a parameter"


Section: TypeAlias = dict[str, Option]


class IniFile(msgspec.Struct, frozen=True):
    """The content of a file: `[DEFAULT]`, and the other sections by name; option names are in lower case."""

    defaults: Section
    sections: dict[str, Section]


def read_ini(path: Path) -> IniFile | None:
    """Read one file; None if it does not exist. FilterError if it is invalid."""
    try:
        data = read_regular(path, SIZE_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FilterError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError:  # an embedded NUL, or text that a file name cannot contain
        raise FilterError(f"{str(path)!r} is not a file name") from None
    if len(data) > SIZE_LIMIT_BYTES:
        raise FilterError(f"{path}: larger than 1 MiB; check that this is a configuration of fail2ban")
    try:
        return parse_ini(str(path), data.decode())
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise FilterError(f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from None


def parse_ini(file: str, text: str) -> IniFile:
    """Parse the text of a file; FilterError names the line of the first fault.

    `#` and `;` start a comment line, ` ;` a comment after a value; lines with deeper indentation continue a value.
    """
    parser = IniParser(file)
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        parser.take(number, line)
    return parser.finish()


class IniParser:
    """Parses the lines of a file one by one."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._sections: dict[str, dict[str, tuple[int, list[str]]]] = {"DEFAULT": {}}
        self._section: dict[str, tuple[int, list[str]]] | None = None
        self._value: list[str] | None = None
        """The lines of the current option."""
        self._indent = 0

    def take(self, number: int, line: str) -> None:
        """Parse one line, without its newline."""
        content, is_comment = _content(line)
        if not content:
            if self._value is not None and not is_comment:
                self._value.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._value is not None and indent > self._indent:
            self._value.append(content)
            return
        self._indent = indent
        if content[0] == "[" and content.rfind("]") > 1:
            self._start_section(number, content[1 : content.rfind("]")])
        else:
            self._start_option(number, content)

    def _start_section(self, number: int, name: str) -> None:
        if name in self._sections and name != "DEFAULT":
            raise FilterError(f"{self._file}:{number}: section [{name[:80]}] occurs twice")
        self._section = self._sections.setdefault(name, {})
        self._value = None

    def _start_option(self, number: int, content: str) -> None:
        if self._section is None:
            raise FilterError(f"{self._file}:{number}: {content[:80]!r} is before the first [section]")
        delimiter = _DELIMITER.search(content)
        name = content[: delimiter.start()].rstrip().lower() if delimiter else ""
        if delimiter is None or not name:
            raise FilterError(f"{self._file}:{number}: {content[:80]!r} is neither [section] nor option = value")
        if name in self._section:
            raise FilterError(f"{self._file}:{number}: option {name[:80]!r} occurs twice")
        self._value = [content[delimiter.end() :].strip()]
        self._section[name] = (number, self._value)

    def finish(self) -> IniFile:
        """Return the parsed file, with the lines of each value joined."""
        sections = {
            name: {
                option: Option("\n".join(lines).rstrip(), self._file, line) for option, (line, lines) in section.items()
            }
            for name, section in self._sections.items()
        }
        return IniFile(sections.pop("DEFAULT"), sections)


def _content(line: str) -> tuple[str, bool]:
    """Return a line without its comment and surrounding space, and whether it had a comment."""
    stripped = line.strip()
    if stripped.startswith(("#", ";")):
        return "", True
    comment = _INLINE_COMMENT.search(line)
    return (line[: comment.start()].strip(), True) if comment else (stripped, False)
