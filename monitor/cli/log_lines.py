"""A log of any size as blocks of whole lines of bounded length, for commands that read it once."""

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from monitor.config.faults import show_path
from monitor.model.errors import NodewardenError

_BLOCK_BYTES = 256 * 1024
_MAX_COMPLAINT_BYTES = 500
_HOLES = re.compile(rb"(?m)^\0+")
_JOURNAL = re.compile(r"journal(?::(.+))?", re.DOTALL)
_ONE_LINE = bytes.maketrans(b"\n\r\v\f\0\x1c\x1d\x1e", b" " * 8)
_TERM = re.compile(r"\+|(?!__)[A-Z_][A-Z0-9_]{0,63}=.*", re.DOTALL)


class UnreadableLogError(NodewardenError):
    """The log cannot be read; the message names it and the reason."""


class LogLines:
    """Reads a file, standard input (`-`), the system's journal (`journal`) or one elsewhere (`journal:DIRECTORY`).

    Lines longer than `max_line_bytes` (newline counted) are cut as the daemon cuts them; memory does not grow with the
    log, nor with a line.
    """

    def __init__(self, log: str, max_line_bytes: int, content: bytes | None = None) -> None:
        """Nothing is opened yet. With `content`, that is read instead, and `log` only names it."""
        journal = _JOURNAL.fullmatch(log)
        self.name = show_path(Path(log))
        self.is_journal = journal is not None
        """Whether each line starts with its time, in seconds since the epoch, and a blank."""
        self.path = None if journal or log == "-" or content is not None else Path(log).absolute()
        """The file, if it is one."""
        self.journalmatch: Sequence[Sequence[str]] = ()
        """What to read of the journal, as for journalctl(1), a line each; nothing: all of it."""
        self.read_bytes = self.lines = self.cut_lines = 0
        self._log = log
        self._content = content
        self._directory = journal[1] if journal else None
        self._max_line_bytes = max_line_bytes

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines, each with one newline at its end; UnreadableLogError if the log cannot be read."""
        try:
            with self._opened() as file:
                for data in self._entries(file) if self.is_journal else self._lines(file):
                    yield self._bounded(data)
        except OSError as error:
            raise UnreadableLogError(f"{self.name} cannot be read: {error.strerror}") from error

    def _lines(self, file: IO[bytes]) -> Iterator[bytes]:
        # What a pipe holds now is taken at once.
        read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        rest = b""
        while data := read(_BLOCK_BYTES):
            self.read_bytes += len(data)
            data = rest + data
            end = data.rfind(b"\n") + 1
            # More of a line without end is not needed to know that it has to be cut.
            rest = data[end : end + self._max_line_bytes]
            if end:
                yield data[:end]
        if rest:
            yield rest + b"\n"

    def _entries(self, file: IO[bytes]) -> Iterator[bytes]:
        """Make one line of each entry, as the daemon does: journalctl indents what follows a message's first line."""
        entries: list[bytes] = []
        entry, size, is_whole = b"", 0, True
        while piece := file.readline(self._max_line_bytes + 1):
            self.read_bytes += len(piece)
            if is_whole and not piece.startswith(b" "):
                entries.append(_one_line(entry))
                entry, size = piece, size + len(entry)
                if size >= _BLOCK_BYTES:
                    yield b"".join(entries)
                    entries, size = [], 0
            elif len(entry) <= self._max_line_bytes:
                entry = entry.removesuffix(b"\n") + (b" " + piece.lstrip(b" ") if is_whole else piece)
            is_whole = piece.endswith(b"\n")
        yield b"".join((*entries, _one_line(entry)))

    def _bounded(self, data: bytes) -> bytes:
        """Return lines of bounded length, without the zero bytes of a file that was truncated under its writer."""
        if b"\0" in data:
            data = _HOLES.sub(b"", data)
        self.lines += data.count(b"\n")
        parts: list[bytes] = []
        limit = self._max_line_bytes
        start = position = 0
        while position < len(data):
            newline = data.rfind(b"\n", position, position + limit)
            if newline >= 0:
                position = newline + 1
                continue
            parts += (data[start : position + limit - 1], b"\n")
            self.cut_lines += 1
            start = position = data.index(b"\n", position) + 1
        return b"".join((*parts, data[start:])) if parts else data

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if self._content is not None:
            yield io.BytesIO(self._content)
        elif self.is_journal:
            with _journal(self._directory, self.journalmatch) as file:
                yield file
        elif self._log == "-":
            yield sys.stdin.buffer
        else:
            with Path(self._log).open("rb") as file:
                yield file


def _one_line(entry: bytes) -> bytes:
    """Return an entry as one line, without characters that end a line; an empty one stays empty."""
    return entry.rstrip().translate(_ONE_LINE) + b"\n" if entry else b""


@contextmanager
def _journal(directory: str | None, journalmatch: Sequence[Sequence[str]]) -> Iterator[IO[bytes]]:
    """Open what journalctl(1) prints: `TIME HOST IDENTIFIER[PID]: MESSAGE`."""
    terms = [term for line in journalmatch for term in ("+", *line)][1:]
    if wrong := [term for term in terms if not _TERM.fullmatch(term)]:
        raise UnreadableLogError(f"invalid match for the journal: {wrong[0]!r} (expected FIELD=value)")
    command = ["journalctl", "--quiet", "--no-pager", "--all", "--output=short-unix"]
    command += [f"--directory={directory}"] if directory else []
    # The terms are not options, whatever the filter's author wrote.
    command += ["--", *terms]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process:  # noqa: S603
            if process.stdout is not None:
                yield process.stdout
        complaints.seek(0)
        said = " ".join(complaints.read(_MAX_COMPLAINT_BYTES).decode(errors="replace").split())
        if process.returncode > 0 and said:
            raise UnreadableLogError(f"the journal cannot be read: {said}")
