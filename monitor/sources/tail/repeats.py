"""Lines that stand in a log again: somebody rewrote it (`sed -i`, `tail LOG > NEW; cat NEW > LOG`, rsync's rename).

What was just before the cursor is looked for in the new content, and reading continues behind it. Where it is not
there, only lines count, of those that appear at once, that are dated after the last read: `after_s`.
"""

import os
import time
from typing import Protocol

from monitor.sources.tail.cursors import MARK_BYTES

_SEARCHED_BYTES = 4 << 20
_SETTLING_S = 2.0
"""How long a log may take to be rewritten, in several writes."""


class Predecessor(Protocol):
    """What was read before."""

    before: bytes
    """The bytes just before its cursor."""
    read_at_s: float
    """Wall time of the last read."""


class Repeats:
    """What may stand again in one file."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.after_s = 0.0
        """Lines dated before this may have been read before; 0: none."""
        self._of: Predecessor | None = None
        self._known = b""
        self._until_s = 0.0

    def expect_known(self, before: bytes, after_s: float) -> None:
        """Expect what was in this file before it was emptied."""
        self._known, self.after_s = before, after_s
        self._until_s = time.monotonic() + _SETTLING_S

    def expect(self, of: Predecessor) -> None:
        """Expect what is in a file that this one replaced; the other is still to be read to its end."""
        self._of = of

    def skip(self, descriptor: int, offset: int) -> int:
        """Return where to read on from `offset`: behind what stands there again; call it before each read."""
        if self._of is not None:
            self.expect_known(self._of.before, self._of.read_at_s)
            self._of = None
        if not self.after_s:
            return offset
        found = find_end(descriptor, self._known, offset) if self._known else None
        if found is not None or time.monotonic() >= self._until_s:
            self._known, self.after_s = b"", 0.0
        return offset if found is None else found


def find_end(descriptor: int, known: bytes, offset: int) -> int | None:
    """Return the end of the last place behind `offset` with these bytes, or of those that a file starts with."""
    if not known.endswith(b"\n"):
        return None
    size = os.fstat(descriptor).st_size
    begin = max(offset, size - _SEARCHED_BYTES)
    data = os.pread(descriptor, max(0, size - begin), begin)
    if (position := data.rfind(known)) >= 0:
        return begin + position + len(known)
    if begin:
        return None
    head = data[:MARK_BYTES]
    ends = [end for end in range(len(head), 0, -1) if head[end - 1 : end] == b"\n"]
    return next((end for end in ends if known.endswith(head[:end])), None)
