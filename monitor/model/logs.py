"""Log text on its way from a source to the filters: whole blocks of lines."""

import msgspec


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
    times_s: tuple[float, ...] = ()
    is_live: bool = True
    """Whether it was written while we were reading; False for what was found there at the start."""
    is_trusted: bool = True
    """Whether only the application itself and root can have written it; text of others proves nothing."""
