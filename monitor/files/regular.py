"""Reads small regular files: a FIFO, a device or a huge file in place of one must neither block nor fill memory."""

import hashlib
import os
import stat
from pathlib import Path


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a file, at most one byte more than `limit_bytes`.

    OSError where it cannot be read or is no regular file; ValueError if the path cannot be a file name.
    """
    # O_NONBLOCK: opening a FIFO must not block the reader forever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(0, "not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:  # EISDIR for a directory
            return stream.read(limit_bytes + 1)
    finally:
        os.close(descriptor)


def digest_of(content: bytes) -> str:
    """Return the digest of content."""
    return hashlib.sha256(content).hexdigest()


def digest(path: Path, limit_bytes: int) -> str | None:
    """Return what tells the first `limit_bytes` and one of a file from others; None if there is none."""
    try:
        return digest_of(read_regular(path, limit_bytes))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"
