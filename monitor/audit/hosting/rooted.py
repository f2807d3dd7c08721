"""Reads files as a process sees them, below `/proc/PID/root`, without leaving that root.

The root may be a container's, whose files somebody else writes. An absolute symbolic link in it would be followed from
the root of the reader, which is the node's: so its components are opened one by one, and links are resolved here.
Nothing that can block or that changes state is opened for reading: only regular files, of bounded size.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

_MAX_LINKS = 40
"""As path_resolution(7)."""
_MAX_COMPONENTS = 512
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def read_within(root: Path, path: str, limit_bytes: int) -> bytes:
    """Return the content of a regular file at an absolute path inside `root`.

    OSError if it cannot be read, is larger than `limit_bytes`, or is no regular file.
    """
    with _opened(root, path) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if _is_of_kernel(descriptor):
            raise OSError(errno.EINVAL, "it is a file of the kernel")
        with open(f"/proc/self/fd/{descriptor}", "rb", opener=_open_at_once) as file:
            content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {limit_bytes} bytes")
    return content


def entries_within(root: Path, path: str, most: int) -> list[tuple[str, bool]]:
    """Return the sorted names in a directory inside `root`, and whether each is a directory; a link is none.

    OSError if it cannot be listed, or has more than `most` entries.
    """
    with _opened(root, path) as descriptor, os.scandir(f"/proc/self/fd/{descriptor}") as entries:
        found = list(islice(entries, most + 1))
        if len(found) > most:
            raise OSError(errno.EFBIG, f"it has more than {most} entries")
        return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)


def _is_of_kernel(descriptor: int) -> bool:
    """Whether the kernel makes the content when it is read, as in /proc: reading /proc/kmsg takes its messages away."""
    return os.fstat(descriptor).st_size == 0 and os.fstatvfs(descriptor).f_blocks == 0


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


@contextmanager
def _opened(root: Path, path: str) -> Iterator[int]:
    """Yield a descriptor (O_PATH) of what an absolute path names inside `root`."""
    if not path.startswith("/") or "\0" in path:
        raise OSError(errno.EINVAL, "its path is not absolute")
    directories = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        _descend(directories, path)
        yield directories[-1]
    finally:
        for descriptor in directories:
            os.close(descriptor)


def _descend(opened: list[int], path: str) -> None:
    """Open each component of a path in turn; `opened` holds the root and all directories on the way."""
    pending = deque(path.split("/"))
    links = 0
    for _ in range(_MAX_COMPONENTS):
        if not pending:
            return
        name = pending.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            _close_down_to(opened, max(1, len(opened) - 1))
            continue
        descriptor = os.open(name, _PATH, dir_fd=opened[-1])
        opened.append(descriptor)
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            continue
        links += 1
        if links > _MAX_LINKS:
            break
        target = os.readlink("", dir_fd=descriptor)
        _close_down_to(opened, 1 if target.startswith("/") else len(opened) - 1)
        pending.extendleft(reversed(target.split("/")))
    raise OSError(errno.ELOOP, "too many links or components")


def _close_down_to(opened: list[int], number: int) -> None:
    while len(opened) > number:
        os.close(opened.pop())
