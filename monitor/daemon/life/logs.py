"""The daemon's own log: fields in the journal, readable lines elsewhere; never without bound."""

import logging
import sys

from monitor.daemon.life import systemd

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


class _Plain(logging.Formatter):
    """Time, level, message and fields on one line; control characters, which attackers may send, are escaped."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its trace, if any."""
        return super().formatMessage(record).translate(_ESCAPES)


def set_up(level: str) -> None:
    """Send the log where it belongs; `level` is debug, info, warning or error."""
    handler: logging.Handler
    if systemd.logs_to_journal():
        from systemd.journal import JournalHandler

        handler = JournalHandler(SYSLOG_IDENTIFIER="nodewarden")
        handler.setFormatter(logging.Formatter("%(message)s"))  # the journal has level, time and place as fields
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
