"""Cursors: how far a source has been read, kept over a restart; and the store of cursors as sources see it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeAlias

Position: TypeAlias = int | str
"""A position within a source: a sequence number, or text that only the source can read. Integers are signed 64 bit."""


class Cursor(NamedTuple):
    """Where reading of a source continues; `boot_id` is empty for a cursor that is valid after a reboot."""

    boot_id: str
    position: Position


class CursorStore(Protocol):
    """Keeps cursors by name: the name of a source, or one that starts with it where a source has several."""

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return the saved cursors of all sources; none where nothing can be read."""
        ...

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Save a cursor under this name. Call it after the events before the cursor were handed on."""
        ...
