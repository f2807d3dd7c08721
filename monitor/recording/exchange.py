"""Recordings as single files: export with or without pseudonyms, and import after a check."""

import contextlib
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from monitor.model.errors import explain
from monitor.recording.bounds import RecordingError
from monitor.recording.flood import weight
from monitor.recording.inputs import Input, Skipped
from monitor.recording.reader import Recording
from monitor.recording.ring import NAMED, open_segment
from monitor.recording.segments import FrameEncoder, Header, encode_header
from monitor.recording.summary import Summary, summarize
from monitor.recording.wire import encode

SUFFIX = ".recording"
_FRAME_BYTES = 1 << 18
"""Before they are compressed: what a file that is cut off loses at most."""
_MAX_LISTED = 5
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def export(
    inputs: Iterable[Input | Skipped],
    file: BinaryIO,
    header: Header,
    change: Callable[[Input], Input] = lambda one: one,
) -> int:
    """Write inputs to a file as one segment, each changed first; return how many. Raises OSError."""
    encoder = FrameEncoder()
    file.write(encode_header(header))
    rows: list[bytes] = []
    size = events = count = 0
    first_s = last_s = 0.0

    def flush(*, is_end: bool = False) -> None:
        file.write(encoder.encode(rows, events=events, first_s=first_s, last_s=last_s, is_end=is_end))

    for one in inputs:
        if isinstance(one, Skipped):
            continue
        changed = change(one)
        first_s = first_s if rows else one.time_s
        last_s = one.time_s
        rows.append(encode(changed))
        size += len(rows[-1])
        events += weight(one)
        count += 1
        if size >= _FRAME_BYTES:
            flush()
            rows, size, events = [], 0, 0
    flush(is_end=True)
    return count


def store(path: Path, directory: Path, name: str) -> Summary:
    """Check a file and keep it beside the ring in `directory`, under a name; return what it holds.

    Raises RecordingError if it is none, holds nothing, or cannot be kept.
    """
    if not _NAME.fullmatch(name):
        raise RecordingError(f"{name!r} is no name: letters, digits, dots, dashes and underscores, at most 64")
    summary = summarize(Recording(path))
    if not summary.inputs:
        raise RecordingError(f"{path}: it holds nothing")
    target = named(directory, name)
    try:
        with _opened(directory) as place, open_segment(path) as source:
            _copy(source, place, target)
    except OSError as error:
        raise RecordingError(f"{target}: {explain(error)}") from None
    return summary


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Hold the directory of imported recordings, made if it is missing; another import waits until this one is done."""
    with contextlib.ExitStack() as opened:
        above = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, above)
        for name in (directory.name, NAMED):
            above = _enter(above, name)
            opened.callback(os.close, above)
        fcntl.flock(above, fcntl.LOCK_EX)
        yield above


def _enter(above: int, name: str) -> int:
    """Open a directory below another one; it is made if it is missing, for the owner of that one.

    The daemon owns these, and root imports: a link is only followed if root or the caller made it.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    is_new = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=above)
        is_new = True
    status = os.stat(name, dir_fd=above, follow_symlinks=False)
    is_ours = stat.S_ISLNK(status.st_mode) and status.st_uid in (0, os.geteuid()) and not is_new
    descriptor = os.open(name, flags if is_ours else flags | os.O_NOFOLLOW, dir_fd=above)
    try:
        if is_new:
            _give(descriptor, os.fstat(above))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _copy(source: BinaryIO, place: int, target: Path) -> None:
    """Keep a file under a name in a directory that is held; it is there as a whole, or not at all."""
    partial = f".{target.name}.partial"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial, dir_fd=place)  # left by an import that was killed
    if target.name in os.listdir(place):
        raise RecordingError(f"a recording of the name {target.stem} is there already: {target}")
    try:
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place
        )
        with os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            _give(copy.fileno(), os.fstat(place))
            os.fsync(copy.fileno())
        os.rename(partial, target.name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial, dir_fd=place)
        raise


def named(directory: Path, name: str) -> Path:
    """Return where an imported recording of this name is."""
    return directory / NAMED / f"{name}{SUFFIX}"


def find(directory: Path, wanted: str = "") -> Recording:
    """Return the ring in a directory, a recording that was imported, or a file or directory by its path.

    Raises RecordingError.
    """
    if not wanted:
        return Recording(directory)
    path = named(directory, wanted)
    if _NAME.fullmatch(wanted) and path.exists():
        return Recording(path)
    if not Path(wanted).exists():
        raise RecordingError(f"{wanted}: neither a file nor the name of an imported recording{_imported(directory)}")
    return Recording(Path(wanted))


def _imported(directory: Path) -> str:
    """Say which recordings were imported."""
    try:
        names = sorted(path.stem for path in (directory / NAMED).glob(f"*{SUFFIX}"))
    except OSError:
        return ""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"; imported are {', '.join(names[:_MAX_LISTED])}{more}" if names else ""


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Give a file to the owner of the directory: root imports, the daemon reads."""
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
