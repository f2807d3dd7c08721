"""The cursor store as sources see it: what was saved at the last run, and what to save for the next."""

from collections.abc import Mapping
from typing import Protocol

from monitor.model.cursors import Cursor


class CursorStore(Protocol):
    """Keeps cursors by name: the name of a source, or one that starts with it where a source has several."""

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return the saved cursors of all sources; none where nothing can be read."""
        ...

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Save a cursor under this name. Call it after the events before the cursor were handed on."""
        ...
