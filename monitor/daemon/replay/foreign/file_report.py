"""What a reader found in a file, for people: how much, from when to when, and what it could not use."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from monitor.model.errors import NodewardenError
from monitor.model.events import Event

Batch: TypeAlias = tuple[float, Sequence[Event]]
"""When events are handed on (wall time in seconds), and the events: at least one, all of one type."""

LATEST_S = float(1 << 33)
"""No file is from later than the year 2242."""
IMPOSSIBLE = "dated before 1970 or after 2242"
_MAX_NOTES = 20


class UnusableFileError(NodewardenError):
    """A file cannot be replayed; the message names it, the reason, and what to do."""


class FileReport(msgspec.Struct):
    """What was read of one file."""

    path: str
    kind: str = ""
    """What kind of file it was taken for, as `--type` names it."""
    records: int = 0
    """Lines, entries, messages or packets."""
    events: int = 0
    """Events that were made of them; connections that were followed count, too."""
    unused: Counter[str] = msgspec.field(default_factory=Counter)
    """Records that are no evidence or could not be read, by reason."""
    notes: list[str] = msgspec.field(default_factory=list)
    """What limits the result, a sentence each; at most 20."""
    first_s: float | None = None
    """Wall time of the first record that was used, in seconds."""
    last_s: float | None = None

    def note(self, text: str) -> None:
        """Add a sentence, once."""
        if text not in self.notes and len(self.notes) < _MAX_NOTES:
            self.notes.append(text)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count records that were not used."""
        if count:
            self.unused[reason] += count

    def see(self, time_s: float, events: int = 1) -> None:
        """Count events of a time."""
        self.events += events
        self.first_s = time_s if self.first_s is None else min(self.first_s, time_s)
        self.last_s = time_s if self.last_s is None else max(self.last_s, time_s)
