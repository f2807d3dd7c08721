"""The origin of a value, and faults in the configuration."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from monitor.model.errors import ConfigError


class Origin(msgspec.Struct, frozen=True):
    """The file and position of a value; without a file it is the schema's default. Lines and columns start at 1."""

    file: Path | None = None
    line: int = 0
    column: int = 0
    entries: tuple["Origin", ...] = ()
    """Of a list that files add to: the origin of each entry. The list itself has that of the last file."""

    def __str__(self) -> str:
        """Return `FILE:LINE`, or `default`."""
        return "default" if self.file is None else f"{show_path(self.file)}:{self.line}"


DEFAULT = Origin()
"""The origin of a value that no file sets."""


class Fault(msgspec.Struct, frozen=True):
    """One fault that the operator must correct.

    `line` and `column` are 0 if the fault concerns the whole file; `path` is empty if it concerns no field.
    """

    file: Path
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        """Return `FILE:LINE:COLUMN: field.path: text`."""
        position = f"{show_path(self.file)}:{self.line}:{self.column}" if self.line else show_path(self.file)
        return f"{position}: {self.path}: {self.text}" if self.path else f"{position}: {self.text}"


class InvalidConfigError(ConfigError):
    """The configuration has faults: `faults` in the order of files and lines, `files` in the order of reading."""

    def __init__(self, faults: Iterable[Fault], files: Iterable[Path]) -> None:
        """Take faults in any order; str() has one fault per line."""
        self.files = tuple(files)
        rank = {file: number for number, file in enumerate(self.files)}
        self.faults = tuple(sorted(faults, key=lambda f: (rank.get(f.file, len(rank)), str(f.file), f.line, f.column)))
        super().__init__("\n".join(map(str, self.faults)))


def fault_at(origin: Origin, path: str, text: str) -> Fault:
    """Return a fault at the position of a value; ValueError for a default, which has no position."""
    if origin.file is None:
        raise ValueError(f"{path}: the default value is invalid: {text}")
    return Fault(origin.file, origin.line, origin.column, path, text)


def show_path(path: Path) -> str:
    """Return a file name for messages; control characters and undecodable bytes are quoted and escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)
