"""Recordings as single files: export with or without pseudonyms, and import after a check."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from monitor.model.errors import explain
from monitor.recording.flood import weight
from monitor.recording.inputs import Input, Skipped
from monitor.recording.reader import Recording
from monitor.recording.ring import NAMED, open_segment
from monitor.recording.segments import FrameEncoder, Header, RecordingError, encode_header
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
    partial = target.with_suffix(".partial")
    try:
        owner = directory.parent.stat() if not directory.exists() else directory.stat()
        for one in (directory, target.parent):
            if not one.exists():
                one.mkdir(mode=0o700)
                _give(one, owner)
        if target.exists():
            raise RecordingError(f"a recording of the name {name} is there already: {target}")
        with open_segment(path) as source, partial.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            shutil.copyfileobj(source, copy, 1 << 20)
        _give(partial, owner)
        partial.rename(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RecordingError(f"{target}: {explain(error)}") from None
    return summary


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


def _give(path: Path, owner: os.stat_result) -> None:
    """Give a file to the owner of the directory: root imports, the daemon reads."""
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
