"""Reads files as one process sees them, with bounds on size, number and time.

A pod may start processes that are called `kubelet` and name files of its own: they must neither fill memory nor keep
an audit busy. Its files may be on a FUSE file system that it serves itself and that never answers, so each file is read
by a thread that is given up after a while; the kernel ends such a wait when the process exits.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from monitor.audit.hosting.rooted import entries_within, read_within
from monitor.model.errors import MalformedRecord, explain
from monitor.node.documents import as_mapping, load_yaml

MAX_FILE_BYTES = 1 << 18
"""A kubelet's configuration has 1 to 4 KiB."""
MAX_BYTES = 1 << 20
"""Of all files of one process."""
PATIENCE_S = 2.0
_MAX_ENTRIES = 512
_MAX_DEPTH = 8

_Read = TypeVar("_Read")


class Unreadable(Exception):  # noqa: N818 - the state of a file, which becomes a gap
    """A file that a program names cannot be used; the text says which, and why."""


class Reader:
    """Reads the files of one process; after one that does not answer, or too many bytes, it reads no more."""

    def __init__(self, root: Path) -> None:
        """Read below `root`, the root directory of the process."""
        self._root = root
        self._left_bytes = MAX_BYTES
        self._left_entries = _MAX_ENTRIES
        self._is_stuck = False

    def document(self, path: str) -> dict[Any, Any]:
        """Return the mapping in a YAML or JSON file; `Unreadable` if there is none."""
        try:
            return as_mapping(load_yaml(self.text(path)))
        except MalformedRecord as error:
            raise Unreadable(f"{path[:256]}: {error}") from error

    def text(self, path: str) -> str:
        """Return the text of a file; `Unreadable` if it cannot be read."""
        if self._left_bytes <= 0:
            raise Unreadable(f"{path[:256]} is not read: this process names too many files")
        content = self._ask(f"{path[:256]} cannot be read", lambda: read_within(self._root, path, MAX_FILE_BYTES))
        self._left_bytes -= len(content)
        return content.decode(errors="replace")

    def names(self, path: str, suffixes: tuple[str, ...]) -> list[str]:
        """Return the paths of files in a directory that end so, sorted; `Unreadable` if it cannot be listed."""
        return [
            f"{path.rstrip('/')}/{name}"
            for name, is_directory in self._entries(path)
            if not is_directory and name.endswith(suffixes)
        ]

    def tree(self, path: str, suffix: str, depth: int = 0) -> list[str]:
        """Return the paths of files below a directory that end so, in the order of Go's filepath.WalkDir."""
        found: list[str] = []
        if depth > _MAX_DEPTH:
            raise Unreadable(f"{path[:256]} is not read: directories are nested more than {_MAX_DEPTH} deep")
        for name, is_directory in self._entries(path):
            below = f"{path.rstrip('/')}/{name}"
            if is_directory:
                found += self.tree(below, suffix, depth + 1)
            elif name.endswith(suffix):
                found.append(below)
        return found

    def _entries(self, path: str) -> list[tuple[str, bool]]:
        if self._left_entries <= 0:
            raise Unreadable(f"{path[:256]} is not listed: this process names too many directories")
        found = self._ask(f"{path[:256]} cannot be listed", lambda: entries_within(self._root, path, _MAX_ENTRIES))
        self._left_entries -= len(found) + 1
        return found

    def _ask(self, fault: str, read: Callable[[], _Read]) -> _Read:
        """Return what a read returns, within `PATIENCE_S`."""
        answers: list[_Read] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                answers.append(read())
            except (OSError, ValueError, MemoryError) as error:
                errors.append(error)

        if not self._is_stuck:
            thread = threading.Thread(target=run, daemon=True, name="audit-file")
            thread.start()
            thread.join(PATIENCE_S)
            self._is_stuck = thread.is_alive()
        if self._is_stuck:
            raise Unreadable(f"{fault}: its file system does not answer")
        if errors:
            raise Unreadable(f"{fault}: {explain(errors[0])}") from errors[0]
        return answers[0]
