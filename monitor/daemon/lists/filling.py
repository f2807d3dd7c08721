"""Brings lists into the kernel: as a difference to what is there, or filled anew beside it. In slices on the loop.

A slice is one transaction of a few hundred networks, which takes about a millisecond; after it the loop does its other
work for half as long. A ban that a detector decides meanwhile waits for one slice at most.

A list is filled anew where it is not known for certain what its sets have: at the start, after a failure, after others
changed them, and where it outgrew the room of its sets. The old sets stay in force until the new ones are full.
"""

import asyncio
import time
from collections.abc import Iterator

from monitor.daemon.lists.held import Due, HeldList
from monitor.enforcers.nftables.list_frame import ListFrame, room_for
from monitor.enforcers.nftables.list_table import ListTable
from monitor.lists.columns import NOTHING, counts
from monitor.lists.difference import PART, Part, difference
from monitor.model.errors import TemporaryError

_SLICE_S = 0.002
"""After this long the loop does its other work, if a transaction did not take as long already."""
_ADDRESSES = "4", "6"


class Interrupted(Exception):  # noqa: N818 - never leaves this package
    """The table was removed or the lists were ended meanwhile: what was being filled is of no use."""


class Filling:
    """Fills sets; one list after the other."""

    def __init__(self, table: ListTable) -> None:
        """`table` is the kernel's."""
        self._table = table
        self.epoch = 0
        """Increases when what is being filled is of no use any more."""

    async def bring(self, due: Due) -> None:
        """Have sets in the kernel contain what is wanted of a list: its own, or new ones that no rule uses yet.

        TemporaryError or PermanentError if the kernel refuses; Interrupted.
        """
        held = due.held
        wanted, frame, before = held.wanted, held.filled, held.in_kernel
        held.in_kernel = None  # until all of it is there
        if frame is not None and before is not None and _has_room(frame, held):
            await self._write(frame, difference(before, wanted))
        else:
            frame = self._make_room(due)
            await self._write(frame, difference(NOTHING, wanted))
        held.filled, held.in_kernel = frame, wanted

    def _make_room(self, due: Due) -> ListFrame:
        """Return empty sets for a list. Those of an earlier daemon that rules still use cannot be had: then others."""
        held = due.held
        found = counts(held.wanted)
        room4, room6 = (room_for(found[name]) for name in _ADDRESSES)
        letters = [one for one in self._table.letters(held.name) if held.filled is None or one != held.filled.letter]
        for letter in letters:
            frame = ListFrame(held.name, due.strength, due.drops, letter, room4, room6)
            try:
                self._table.make_room(frame)
            except TemporaryError:
                if letter == letters[-1]:
                    raise
            else:
                break
        return frame

    async def _write(self, frame: ListFrame, parts: Iterator[Part]) -> None:
        epoch, started_s = self.epoch, time.monotonic()
        for part in parts:
            if part.removed or part.added:
                self._table.write(frame, part.removed, part.added)
            took_s = time.monotonic() - started_s
            if took_s >= _SLICE_S or part.removed or part.added:
                await asyncio.sleep(took_s / 2)
                if epoch != self.epoch:
                    raise Interrupted
                started_s = time.monotonic()


def _has_room(frame: ListFrame, held: HeldList) -> bool:
    """Whether the sets in the kernel have room for what is wanted, and not much more than that."""
    found = counts(held.wanted)
    return all(
        found[name] + PART <= room <= 4 * room_for(found[name])
        for name, room in zip(_ADDRESSES, (frame.hosts4, frame.hosts6), strict=True)
    )
