"""Keeps compiled programs for later starts in the directory `$CACHE_DIRECTORY`, which systemd makes for the service.

Compiling takes a second of processor time and a hundred megabytes; loading what was compiled takes a tenth. Without
such a directory everything is compiled at each start.
"""

import contextlib
from pathlib import Path
from typing import TypeVar

import msgspec

from monitor.files.kept import KeptFiles

_T = TypeVar("_T")
VARIABLE = "CACHE_DIRECTORY"
_SUFFIX = ".ebpf"
_MAX_BYTES = 1 << 20


class CompiledCache:
    """What was kept, by key: the hexadecimal digest of all that the content follows from."""

    def __init__(self, directory: str | None) -> None:
        """Take the directory; None, or one that is not to be trusted, keeps nothing."""
        self._files = KeptFiles(Path(directory) if directory else None, _SUFFIX, _MAX_BYTES)

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """Return what is kept; None if nothing is, or nothing to be trusted."""
        if (body := self._files.get(key)) is not None:
            with contextlib.suppress(msgspec.MsgspecError):
                return msgspec.msgpack.decode(body, type=kind)
        return None

    def put(self, key: str, value: object) -> None:
        """Keep a value; where that fails it is compiled next time. The oldest files make room."""
        self._files.put(key, msgspec.msgpack.encode(value))
