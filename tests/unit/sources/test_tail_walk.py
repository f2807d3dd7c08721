"""A random walk: whatever a writer, a rotation and a restart do, each line is handed out once and in order."""

import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.sources.tail.cursors import FileCursor
from monitor.sources.tail.reader import Tail
from tests.support.tail import lines, tick


class Walk(RuleBasedStateMachine):
    """A log, its writer and its reader; what was written is the model."""

    def __init__(self) -> None:
        """Begin with an empty log that is being followed."""
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "app.log"
        self.writer = self._open()
        self.written: list[bytes] = []
        self.part = b""
        self.read: list[bytes] = []
        self.tail: Tail | None = self._follow({})
        self.cursors: dict[str, str] = {}

    def _open(self) -> BinaryIO:
        return self.path.open("ab", buffering=0)

    def _follow(self, cursors: dict[str, str]) -> Tail:
        return Tail({"x": [f"{self.directory}/app.log*"]}, cursors=cursors, max_line_bytes=300)

    def _shift(self) -> Path:
        """Make room for a new generation and return its path."""
        generations = sorted(self.directory.glob("app.log.*"), key=lambda path: int(path.suffix[1:]), reverse=True)
        for generation in generations:
            generation.rename(self.directory / f"app.log.{int(generation.suffix[1:]) + 1}")
        return self.directory / "app.log.1"

    @rule(count=st.integers(1, 40))
    def write(self, count: int) -> None:
        """Write lines, after the rest of the one that was begun."""
        for _ in range(count):
            line = self.part + b"%d is the line" % len(self.written)
            self.writer.write(line[len(self.part) :] + b"\n")
            self.written.append(line)
            self.part = b""

    @rule(size=st.integers(1, 20))
    def begin(self, size: int) -> None:
        """Write the beginning of a line."""
        part = b"%d begun " % len(self.written) + b"." * size if not self.part else b","
        if len(self.part) < 150:
            self.writer.write(part)
            self.part += part

    @rule(is_late=st.booleans())
    def rename(self, is_late: bool) -> None:
        """Rotate by rename; the writer ends its line in the old file."""
        self.path.rename(self._shift())
        if self.part or is_late:
            self.write(1)
        self.writer.close()
        self.writer = self._open()

    @precondition(lambda self: not self.part)
    @rule(count=st.integers(1, 40))
    def copytruncate(self, count: int) -> None:
        """Rotate by a copy. A file of which nothing was read yet cannot be seen to be emptied."""
        if self.tail:
            self.read += lines(self.tail)
        cursors = self.tail.cursors() if self.tail else self.cursors
        cursor = msgspec.json.decode(cursors[str(self.path)], type=FileCursor)
        is_current = cursor.inode == self.path.stat().st_ino
        if (self.tail or is_current) and not (is_current and cursor.offset):
            return
        self.write(count)
        shutil.copy(self.path, self._shift())
        self.writer.truncate(0)

    @precondition(lambda self: self.tail is not None)
    @rule(limit_bytes=st.integers(1, 2000))
    def read_some(self, limit_bytes: int) -> None:
        """Read a little."""
        assert self.tail
        for block in self.tail.read(limit_bytes):
            self.read += block.data.split(b"\n")[:-1]

    @precondition(lambda self: self.tail is not None)
    @rule(after_s=st.sampled_from([0, 6, 700]))
    def tick(self, after_s: int) -> None:
        """Let time go by, in which all is read."""
        assert self.tail
        self.read += lines(self.tail)
        tick(self.tail, after_s)

    @precondition(lambda self: self.tail is not None)
    @rule()
    def stop(self) -> None:
        """Stop reading, as at the end of the daemon."""
        assert self.tail
        self.cursors = self.tail.cursors()
        self.tail.close()
        self.tail = None

    @precondition(lambda self: self.tail is None)
    @rule()
    def start(self) -> None:
        """Continue reading at the saved cursor."""
        self.tail = self._follow(self.cursors)

    @invariant()
    def in_order(self) -> None:
        """Nothing is lost, doubled or out of order."""
        assert self.read == self.written[: len(self.read)]

    def teardown(self) -> None:
        """All comes out in the end."""
        if not self.tail:
            self.start()
        assert self.tail
        self.read += lines(self.tail)
        cursors, stats = self.tail.cursors(), self.tail.stats
        self.tail.close()
        self.writer.close()
        shutil.rmtree(self.directory)
        assert self.read == self.written
        assert list(cursors) == [str(self.path)]
        assert (stats.lost, stats.lost_bytes, stats.cut_lines) == (0, 0, 0)


TestWalk = Walk.TestCase
TestWalk.__doc__ = "Any sequence of writing, rotating, reading and restarting hands out each line once, in order."
TestWalk.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
