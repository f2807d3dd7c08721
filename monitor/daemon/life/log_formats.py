"""How a record of the daemon's log is written: as a readable line, as logfmt or as JSON. Pure.

Whatever attackers got into a message or a field, a record is one line, and machines read back the very fields. Both
logfmt and JSON are plain ASCII: other characters are escaped as in JSON, so no terminal obeys them and no viewer shows
them as something else. A quoted value of logfmt is a JSON string, which is how go-logfmt (Loki, Promtail) reads it.
"""

import json
import logging
import re
import time
from collections.abc import Mapping

from monitor.model.printable import printable, printable_lines

FIELDS = "fields"
"""The attribute of a record with what belongs to its message: texts by name."""
_BARE = re.compile(r"[A-Za-z0-9._:/+-]+")


def fields_of(record: logging.LogRecord) -> Mapping[str, str]:
    """Return the fields of a record; most have none."""
    fields: Mapping[str, str] = getattr(record, FIELDS, {})
    return fields


class Escaping(logging.Formatter):
    """Escapes what attackers may send and a terminal or viewer might obey; traces and faults keep their lines."""

    indent = ""
    """Before all lines but the first: the journal has its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, and its trace if any."""
        return printable_lines(super().format(record), self.indent)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the message: one line, unless our own text has several, as that of faults in the configuration."""
        line = super().formatMessage(record)
        return line if "\n" in str(record.msg) else printable(line)


class Text(Escaping):
    """Time, level and message on one line; a trace is indented, so that no line of it can pass for another message."""

    indent = "  "

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        """Take no options."""
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its trace, if any."""
        return printable(super().formatMessage(record))


class _Structured(logging.Formatter):
    """What logfmt and JSON have in common: which keys there are."""

    def keys(self, record: logging.LogRecord) -> dict[str, str]:
        """Return time (UTC), level, message, the fields, and the trace if there is one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        keys = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            keys["trace"] = self.formatException(record.exc_info)
        return keys


class Logfmt(_Structured):
    """`key=value` pairs on one line, values quoted where they need it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{key}={_logfmt_value(value)}" for key, value in self.keys(record).items())


class Json(_Structured):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return _quoted(self.keys(record))


def _logfmt_value(value: str) -> str:
    return value if _BARE.fullmatch(value) else _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")
