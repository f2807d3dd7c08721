"""Directories of the state that a command writes next to the daemon: as whose account, and one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from monitor.model.errors import NodewardenError, explain

_DIRECTORY_MODE, _LOCK_MODE = 0o750, 0o640


class StateError(NodewardenError):
    """A directory cannot be written now; the message says what to do."""


def become_owner(directory: Path) -> None:
    """Give up root for the account that owns the state: nothing that comes from elsewhere is handled as root."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(FileNotFoundError):
        owner = directory.stat()
        if owner.st_uid:
            os.setgroups([owner.st_gid])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)


@contextlib.contextmanager
def alone(directory: Path, busy: str) -> Iterator[None]:
    """Hold a directory, so that no second process works in it; StateError if it cannot be held.

    `busy` says who holds it, and what to do. The kernel drops the lock with its holder.
    """
    try:
        directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_MODE)
    except OSError as error:
        hint = "start nodewarden once, and run this as root or as its user"
        raise StateError(f"cannot write to {directory}: {explain(error)}; {hint}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(busy) from None
        yield
    finally:
        os.close(descriptor)
