"""Cursors: how far a source has been read, kept over a restart."""

from typing import NamedTuple, TypeAlias

Position: TypeAlias = int | str
"""A position within a source: a sequence number, or text that only the source can read. Integers are signed 64 bit."""


class Cursor(NamedTuple):
    """Where reading of a source continues; `boot_id` is empty for a cursor that is valid after a reboot."""

    boot_id: str
    position: Position
