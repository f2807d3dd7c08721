"""Writes what an import makes of fail2ban's configuration into our own directory."""

import os
from pathlib import Path

from monitor.filters.fail2ban.copies import MARK
from monitor.model.errors import NodewardenError

CONFIGURATION = Path("conf.d/60-fail2ban.yaml")
FILTERS = Path("filters/fail2ban")


class WriteRefusedError(NodewardenError):
    """A file cannot be written, or is not ours to replace; the message names it."""


def write_import(directory: Path, text: str, filters: dict[str, str]) -> None:
    """Write the filters, then the configuration that uses them; files of an earlier import are replaced.

    WriteRefusedError, before anything is written, if a file there was written by somebody else.
    """
    files = {directory / FILTERS / f"{name}.yaml": content for name, content in filters.items()}
    files[directory / CONFIGURATION] = text
    try:
        for path in files:
            _check(path)
        for path, content in files.items():
            _write(path, content)
        for path in set((directory / FILTERS).glob("*.yaml")) - set(files):
            if path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
                path.unlink()
    except OSError as error:
        raise WriteRefusedError(f"{error.filename or directory} cannot be written: {error.strerror}") from error


def _check(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not _is_ours(path)):
        raise WriteRefusedError(f"{path} was not written by an import: move it away first")


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(MARK)) == MARK


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
