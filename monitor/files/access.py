"""Finds files that exist but that this process may not read."""

import os
from collections.abc import Iterable, Iterator
from glob import has_magic, iglob
from itertools import islice
from pathlib import Path

_MAX_FILES = 64


def denied(patterns: Iterable[str]) -> Iterator[str]:
    """Yield unreadable files that match these absolute patterns of glob(7), and inaccessible parent directories.

    At most `_MAX_FILES` files per pattern are checked. A missing file is not denied.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        directory = _closed_directory(Path(pattern))
        if directory:
            found[directory] = None
            continue
        for path in islice(iglob(pattern), _MAX_FILES):  # noqa: PTH207 - the patterns are absolute
            if not os.access(path, os.R_OK, effective_ids=True):
                found[path] = None
    yield from found


def _closed_directory(path: Path) -> str:
    """Return the first parent directory that may not be searched, or listed if its next name has wildcards."""
    for directory in reversed(path.parents):
        if has_magic(str(directory)) or not directory.is_dir():
            break
        needed = os.X_OK | (os.R_OK if has_magic(_next(directory, path)) else 0)
        if not os.access(directory, needed, effective_ids=True):
            return str(directory)
    return ""


def _next(directory: Path, path: Path) -> str:
    return path.relative_to(directory).parts[0]
