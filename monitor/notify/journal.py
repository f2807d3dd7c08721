"""What was heard since the spool was written, in `STATE/notify/heard.jsonl`: a line for each page of events.

The spool is replaced as a whole, so not in every round. In between only the daemon has what was heard, and a daemon
that restarts forgets it. So a page is appended here before it is taken; a notifier that was killed takes it from here.
The kernel keeps what was appended when a process is killed; only the spool is flushed to disk.
"""

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.files.regular import read_regular
from monitor.model.errors import explain
from monitor.notify.spool import Cursor

JOURNAL_NAME = "heard.jsonl"
MAX_BYTES = 32 << 20
"""More than all events that a daemon keeps. What is heard beyond it is in memory and in the next spool only."""
_MODE = 0o600
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, the cursor that it was asked for with, and the cursor after it."""

    before: Cursor
    after: Cursor
    events: list[dict[str, Any]]
    unseen: int = 0


class Journal:
    """One file. Whatever a disk does, nothing raises: then it is as if there were none."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self._fault = ""
        self._size_bytes = 0

    def after(self, cursor: Cursor | None) -> list[Entry]:
        """Return the entries that follow a cursor, in order; none that was not written to its end."""
        try:
            content = read_regular(self._path, MAX_BYTES)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            self._note(error)
            return []
        self._size_bytes = len(content)
        found = []
        for entry in _decoded(content):
            if entry.before == cursor:
                found.append(entry)
                cursor = entry.after
        return found

    def add(self, entry: Entry) -> None:
        """Append an entry, unless the file is full."""
        line = b"\n" + msgspec.json.encode(entry)  # what a kill or a full disk cut off before it ends here
        if self._size_bytes + len(line) > MAX_BYTES:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, _MODE)
            try:
                written = os.write(descriptor, line)
            finally:
                os.close(descriptor)
            self._size_bytes += written
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as if nothing was written
        except OSError as error:
            self._note(error)
        else:
            self._fault = ""

    def clear(self) -> None:
        """Forget all entries: the spool has them."""
        if not self._size_bytes:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._note(error)
            return
        self._size_bytes = 0

    def _note(self, error: Exception) -> None:
        text = explain(error)
        if text != self._fault:
            _log.error("%s cannot be used, so a kill may lose what was heard just before it: %s", self._path, text)
        self._fault = text


def _decoded(content: bytes) -> Iterator[Entry]:
    """Yield the entries; a line that is none is left out, and what follows it does not follow the cursor any more."""
    for line in content.split(b"\n"):
        try:
            yield _decoder.decode(line)
        except (ValueError, RecursionError):
            continue


_decoder = msgspec.json.Decoder(Entry)
