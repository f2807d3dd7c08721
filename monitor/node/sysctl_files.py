"""Reads the same sysctls again and again: files that are there stay open, one that is gone is looked for each time."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

_DIRECTORY = "proc/sys"
_MAX_BYTES = 64
_SELDOM = 20
"""Readings until what seldom comes is looked for again: a name that is not there costs as much as all values."""


class SysctlFiles:
    """The files of some sysctls, of the network namespace of the thread that read them first."""

    def __init__(self, root: Path, names: Iterable[str], seldom: Collection[str] = ()) -> None:
        """Open nothing yet; `names` are below /proc/sys, which is below `root`.

        Those of `seldom` either are there or do not come while the kernel runs.
        """
        self._seldom = seldom
        self._readings = 0
        self._paths = {name: str(root / _DIRECTORY / name) for name in names}
        self._opened: dict[str, int] = {}
        self._texts: Mapping[str, bytes] = {}

    def read(self) -> Mapping[str, bytes]:
        """Return the values of all that exist, by name, as they are read; the same object if they are the same."""
        self._readings += 1
        texts = {name: text for name, path in self._paths.items() if (text := self._read(name, path))}
        if texts != self._texts:
            self._texts = texts
        return self._texts

    def close(self) -> None:
        """Close the files."""
        while self._opened:
            os.close(self._opened.popitem()[1])

    def _read(self, name: str, path: str) -> bytes:
        for _ in range(2):  # the file may be that of a module that was unloaded
            try:
                if name not in self._opened:
                    if name in self._seldom and self._readings % _SELDOM != 1:
                        return b""
                    self._opened[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
                return os.pread(self._opened[name], _MAX_BYTES, 0)
            except OSError:
                if name not in self._opened:
                    return b""
                os.close(self._opened.pop(name))
        return b""
