"""The ring: numbered segments in a directory, of which the oldest are removed beyond a size or an age."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

DIRECTORY = "recording"
"""Below the state directory, where the configuration names no other."""
NAMED = "named"
"""Below it: imported recordings, which the ring leaves alone."""
_SEGMENT = re.compile(r"[0-9]{12}\.segment")


def segments(directory: Path) -> list[Path]:
    """Return the segments in order of writing; other files are none. Raises OSError."""
    return sorted(path for path in directory.iterdir() if _SEGMENT.fullmatch(path.name))


def number(path: Path) -> int:
    """Return the number of a segment."""
    return int(path.name.partition(".")[0])


def open_segment(path: Path) -> BinaryIO:
    """Open a segment for reading, and nothing else that may lie under its name. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=1 << 18)


class Ring:
    """The segments of one directory. Only the thread that writes may use it."""

    def __init__(self, directory: Path, max_bytes: int, max_age_s: float) -> None:
        """Nothing is read or made yet."""
        self.directory = directory
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self.size_bytes = 0
        """Of all segments but the one that is written, at the last `prune`."""
        self.count = 0
        self.oldest_s: float | None = None
        """When the oldest segment was written last (wall time); None without any."""

    @property
    def segment_bytes(self) -> int:
        """The size at which a segment is closed: a sixteenth of the ring is what it loses at a time."""
        return max(64 << 10, min(self.max_bytes // 16, 4 << 20))

    @property
    def segment_age_s(self) -> float:
        """The age at which a segment is closed."""
        return max(60.0, min(self.max_age_s / 28, 6 * 3600.0))

    def create(self) -> tuple[Path, int]:
        """Make a new segment after the last one; return it with its open descriptor. Raises OSError."""
        self.directory.mkdir(mode=0o700, exist_ok=True)  # not its parents: the state directory is there, or gone
        known = segments(self.directory)
        path = self.directory / f"{number(known[-1]) + 1 if known else 1:012d}.segment"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return path, os.open(path, flags, 0o600)

    def prune(self, now_s: float, current: Path) -> None:
        """Remove the oldest segments that are too much or too old, never the one that is written.

        What cannot be removed stays, and the next ones go. Raises OSError only if the ring is too large then.
        """
        found = []
        for path in segments(self.directory):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            found.append((path, status.st_size if path != current else self.segment_bytes, status.st_mtime))
        total = sum(size for _, size, _ in found)  # with room for the one that is written
        kept, stuck, fault = list(found), 0, None
        for path, size, written_s in found:
            is_old = now_s - written_s > self.max_age_s
            if path == current or not (is_old or total > self.max_bytes):
                break
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                stuck, fault = stuck + 1, fault or error
                continue
            total -= size
            del kept[stuck]
        self.size_bytes, self.count = total - self.segment_bytes, len(kept)
        self.oldest_s = kept[0][2] if kept else None
        if fault and total > self.max_bytes:
            raise fault
