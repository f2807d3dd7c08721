"""The daemon's own log: fields in the journal, lines elsewhere; never without bound."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from functools import partial

from monitor.daemon.life import systemd
from monitor.daemon.life.log_formats import Escaping, Json, Logfmt, Text, fields_of
from monitor.daemon.life.log_writer import LogWriter
from monitor.settings.schema import Log, LogFormat

PREFIX = "NODEWARDEN_"
"""Of fields in the journal; the rest of their names is in upper case."""


_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {
    LogFormat.JOURNAL: Text,  # where standard error is not the journal's
    LogFormat.TEXT: Text,
    LogFormat.LOGFMT: Logfmt,
    LogFormat.JSON: Json,
}


def set_up(settings: Log) -> None:
    """Send the log where it belongs, in the format that is set."""
    handler: LogWriter
    if settings.format is LogFormat.JOURNAL and systemd.logs_to_journal():
        handler = _Journal()
    else:
        handler = _Stream()
        handler.setFormatter(_FORMATTERS[settings.format]())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def writer() -> LogWriter | None:
    """Return what writes the log; None if `set_up` was not called."""
    return next((one for one in logging.getLogger().handlers if isinstance(one, LogWriter)), None)


class _Stream(LogWriter):
    """Writes records to standard error, a line each."""

    def prepared(self, record: logging.LogRecord) -> Callable[[], object]:
        """Return what writes the line."""
        return partial(_write, f"{self.format(record)}\n".encode(errors="backslashreplace"))


def _write(line: bytes) -> None:
    """Write to the descriptor: whoever waits for it must not hold the lock of `sys.stderr`, which the end needs."""
    if sys.stderr is None:  # it was closed before the start, and the descriptor may be that of another file
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    while line:
        line = line[os.write(2, line) :]


class _Journal(LogWriter):
    """Sends records to the journal: the message, where it comes from, and its fields; nothing else of a record.

    The handler of python-systemd also sends messages and arguments as they came, and loses what is not UTF-8.
    """

    def __init__(self) -> None:
        from systemd import journal

        super().__init__()
        self._journal = journal
        self.setFormatter(Escaping("%(message)s"))  # the journal has level, time and code as fields

    def prepared(self, record: logging.LogRecord) -> Callable[[], object]:
        """Return what sends one record."""
        return partial(
            self._journal.send,
            self.format(record),
            SYSLOG_IDENTIFIER="nodewarden",
            PRIORITY=str(self._journal.JournalHandler.map_priority(record.levelno)),
            LOGGER=record.name,
            THREAD_NAME=record.threadName,
            CODE_FILE=record.pathname,
            CODE_LINE=record.lineno,
            CODE_FUNC=record.funcName,
            **journal_fields(record),
        )


def journal_fields(record: logging.LogRecord) -> dict[str, str]:
    """Return the fields of a record by the names that they have in the journal."""
    return {f"{PREFIX}{name.upper()}": value for name, value in fields_of(record).items()}


def follow(old: Log, new: Log) -> None:
    """Change the level, and the format if it is another one."""
    if new.format is not old.format:
        set_up(new)
    logging.getLogger().setLevel(new.level.upper())


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
