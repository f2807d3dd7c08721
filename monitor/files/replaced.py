"""Replaces a file in one step, and keeps what was there: whoever reads it sees the old content or the new one."""

import contextlib
import os
from pathlib import Path

_MODE = 0o644


def replace_file(
    path: Path, *parts: bytes, kept: Path | None = None, mode: int | None = None, group: int | None = None
) -> None:
    """Write a file under a hidden name, flush it to disk, and move it over `path`; what was there stays at `kept`.

    It has mode and owner of the file that it replaces, or `mode`, the owner who writes it, and `group` (a
    number) if given. OSError if that fails: then `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    try:
        with contextlib.suppress(FileNotFoundError):  # of a command that was killed
            new.unlink()
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if mode is None and before is not None:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
                mode = before.st_mode & 0o777
            elif group is not None and os.fstat(file.fileno()).st_gid != group:  # a sandbox may forbid chown
                os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), _MODE if mode is None else mode)
            os.fsync(file.fileno())
        if before is not None and kept is not None:
            with contextlib.suppress(FileNotFoundError):
                kept.unlink()
            kept.hardlink_to(path)
        new.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
