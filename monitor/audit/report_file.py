"""The report on disk: root writes it, the daemon reads it.

The daemon's account may read the file and not write to its directory: whoever takes over the daemon cannot make an open
port look closed to the next reader. So a file that anybody but root could have written is refused.
"""

import contextlib
import grp
import os
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.report import VERSION, Report, Result
from monitor.files.replaced import replace_file
from monitor.model.errors import PermanentError, explain

MAX_BYTES = 16 << 20
GROUP = "nodewarden"
"""Of the directory: the daemon's account is in it."""
_FILE_MODE, _DIRECTORY_MODE = 0o640, 0o750
R = TypeVar("R", bound=Result)


class ReportError(PermanentError):
    """The report cannot be read or written; the message says why."""


def previous_path(path: Path) -> Path:
    """Return where the report of the run before is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_report(path: Path, report: Report) -> None:
    """Replace the report, and keep the one before. ReportError if that fails; then it is as it was.

    A state that is too large for the file is left out: then the next run cannot say what changed since.
    """
    content = msgspec.json.encode(report)
    if len(content) > MAX_BYTES:
        content = msgspec.json.encode(msgspec.structs.replace(report, state=Baseline()))
    if len(content) > MAX_BYTES:
        raise ReportError(f"the report has more than {MAX_BYTES} bytes")
    try:
        group = _make_directory(path.parent)
        replace_file(path, content, kept=previous_path(path), mode=_FILE_MODE, group=group)
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {explain(error)}") from error


def _make_directory(directory: Path) -> int:
    """Make the directory if it is missing, as its unit would; return its group."""
    try:
        directory.mkdir(mode=_DIRECTORY_MODE)
    except FileExistsError:
        return directory.stat().st_gid
    with contextlib.suppress(KeyError):  # nodewarden is not installed
        os.chown(directory, -1, grp.getgrnam(GROUP).gr_gid)
    return directory.stat().st_gid


def read_report(path: Path, kind: type[R], owner: int = 0) -> R:
    """Read a report, or a `Result` without the rest of it.

    FileNotFoundError if there is none. ReportError if it cannot be read, is damaged, of another version, or can have
    been written by others than `owner` (a user's number).
    """
    try:
        content = _read(path, owner)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read: {explain(error)}") from error
    try:
        result = msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f"{path} is damaged: {error}") from None
    if result.version != VERSION:
        raise ReportError(f"{path} has version {result.version}, and this program reads version {VERSION}")
    return result


def _read(path: Path, owner: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb", closefd=True) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a regular file")
        if found.st_uid != owner or found.st_mode & 0o022:
            raise ValueError(f"others than user {owner} can write to it: chown root and chmod 640 if it is genuine")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return content
