"""Log text on its way from a source to the filters: whole blocks of lines."""

from collections.abc import Sequence

import msgspec

from monitor.model.writers import Writer

JOURNAL = "journal"
"""The name of systemd's journal, in place of a path."""

CUT = b"_"
"""Stands for the missing end of a line: what is right before it is a part of a longer word, and so no address."""


class LogBlock(msgspec.Struct, frozen=True, gc=False):
    """Whole lines of one log, as a source read them.

    `data` holds lines that each end in one newline; none is longer than the source's `max_line_bytes`. `times_s` is the
    wall time of each line where the source knows it (the journal); empty where it must be read from the lines.
    """

    log: str
    """The path of a file; `journal`."""
    detectors: tuple[str, ...]
    """The detectors whose filters read this log."""
    data: bytes
    read_s: float
    """Wall time at which it was read, in seconds since the epoch."""
    times_s: Sequence[float] = ()
    is_live: bool = True
    """Whether it was written while we were reading; False for what was found there at the start."""
    writer: Writer | None = None
    """Who wrote the lines; None: not known, so that they prove nothing."""
    after_s: float = 0.0
    """Lines dated before this were read before, elsewhere or in another form: they do not count again."""
    is_wrapped: bool = False
    """Whether the lines were records of a container's runtime, which `times_s` are from (NaN: not known); the lines may
    have dates of their own."""
    is_cut: bool = False
    """Whether the ends of the lines are missing: what a client sent may have pushed the true end out of a line."""

    @property
    def is_journal(self) -> bool:
        """Whether these are entries of the journal."""
        return self.log == JOURNAL
