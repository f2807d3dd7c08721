"""Where a value comes from, and what is wrong with it."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from monitor.model.errors import ConfigError


class Origin(msgspec.Struct, frozen=True):
    """The place that a value comes from; without a file it is the schema's default. Lines and columns count from 1."""

    file: Path | None = None
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Write `FILE:LINE`, or `default`."""
        return "default" if self.file is None else f"{show_path(self.file)}:{self.line}"


DEFAULT = Origin()
"""The origin of a value that no file gives."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that the operator must change.

    `line` and `column` are 0 where the whole file is meant, `path` is empty where no field is.
    """

    file: Path
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        """Write `FILE:LINE:COLUMN: field.path: text`."""
        place = f"{show_path(self.file)}:{self.line}:{self.column}" if self.line else show_path(self.file)
        return f"{place}: {self.path}: {self.text}" if self.path else f"{place}: {self.text}"


class InvalidConfigError(ConfigError):
    """The configuration has faults: `faults` in the order of their places, `files` in the order of reading."""

    def __init__(self, faults: Iterable[Fault], files: Iterable[Path]) -> None:
        """Take faults in any order; str() is one fault a line."""
        self.files = tuple(files)
        rank = {file: number for number, file in enumerate(self.files)}
        self.faults = tuple(sorted(faults, key=lambda f: (rank.get(f.file, len(rank)), str(f.file), f.line, f.column)))
        super().__init__("\n".join(map(str, self.faults)))


def fault_at(origin: Origin, path: str, text: str) -> Fault:
    """Return a fault at a value's place; a default has none, which is a ValueError."""
    if origin.file is None:
        raise ValueError(f"{path}: a default is at fault: {text}")
    return Fault(origin.file, origin.line, origin.column, path, text)


def show_path(path: Path) -> str:
    """Write a file name for people; one with control characters or undecodable bytes is quoted and escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)
