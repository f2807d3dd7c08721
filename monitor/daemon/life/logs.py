"""The daemon's own log: fields in the journal, readable lines elsewhere; never without bound."""

import logging
import sys

from monitor.daemon.life import systemd
from monitor.model.printable import printable, printable_lines


class _Escaping(logging.Formatter):
    """Escapes what attackers may send and a terminal or viewer might obey; traces and faults keep their lines."""

    indent = ""
    """Before all lines but the first: the journal has its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, and its trace if any."""
        return printable_lines(super().format(record), self.indent)


class _Plain(_Escaping):
    """Time, level and message on one line; a trace is indented, so that no line of it can pass for another message."""

    indent = "  "

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its trace, if any."""
        return printable(super().formatMessage(record))


def set_up(level: str) -> None:
    """Send the log where it belongs; `level` is debug, info, warning or error."""
    handler: logging.Handler
    if systemd.logs_to_journal():
        from systemd.journal import JournalHandler

        handler = JournalHandler(SYSLOG_IDENTIFIER="nodewarden")
        handler.setFormatter(_Escaping("%(message)s"))  # the journal has level, time and place as fields
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(plain_formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def plain_formatter() -> logging.Formatter:
    """Return what writes readable lines."""
    return _Plain()


class Limiter:
    """Lets at most `per_second` lines pass each second and counts the rest, so attackers cannot fill the disk."""

    def __init__(self, per_second: int) -> None:
        """Start with a full second."""
        self._per_second = per_second
        self._left = per_second
        self.suppressed = 0

    def allows(self) -> bool:
        """Whether one more line may be written now."""
        if self._left > 0:
            self._left -= 1
            return True
        self.suppressed += 1
        return False

    def refill(self) -> int:
        """Begin the next second; return how many lines the last one suppressed."""
        suppressed, self.suppressed = self.suppressed, 0
        self._left = self._per_second
        return suppressed
