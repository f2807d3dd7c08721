"""Keeps compiled programs for later starts in the directory `$CACHE_DIRECTORY`, which systemd makes for the service.

Compiling takes a second of processor time and a hundred megabytes; loading what was compiled takes a tenth. A file
has the digest of its content and is replaced as a whole, so one that is damaged or torn means only that the program is
compiled again. What is kept runs in the kernel when it is loaded: only what root or our own account wrote is used, in
a directory where nobody else can write. Without such a directory everything is compiled at each start.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

_T = TypeVar("_T")
VARIABLE = "CACHE_DIRECTORY"
_SUFFIX = ".ebpf"
_MAX_FILES = 64
_MAX_BYTES = 1 << 20
_DIGEST_BYTES = 32
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CompiledCache:
    """What was kept, by key: the hexadecimal digest of all that the content follows from."""

    def __init__(self, directory: str | None) -> None:
        """Take the directory; None, or one that is not to be trusted, keeps nothing."""
        self._directory = directory

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """Return what is kept; None if nothing is, or nothing to be trusted."""
        with contextlib.suppress(OSError, msgspec.MsgspecError), self._opened() as directory:
            descriptor = os.open(key + _SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
            with os.fdopen(descriptor, "rb") as file:
                if not _is_ours(os.fstat(descriptor), stat.S_ISREG):
                    return None
                content = file.read(_MAX_BYTES)
            digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if digest == _digest(key, body):
                return msgspec.msgpack.decode(body, type=kind)
        return None

    def put(self, key: str, value: object) -> None:
        """Keep a value; where that fails it is compiled next time. The oldest files make room."""
        body = msgspec.msgpack.encode(value)
        if len(body) > _MAX_BYTES - _DIGEST_BYTES:
            return
        with contextlib.suppress(OSError), self._opened() as directory:
            draft = f".{key}.{os.getpid()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            try:
                with os.fdopen(os.open(draft, flags, 0o600, dir_fd=directory), "wb") as file:
                    file.write(_digest(key, body) + body)
                os.rename(draft, key + _SUFFIX, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=directory)
            _remove_oldest(directory)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield the descriptor of the directory; OSError if it is missing or not to be trusted."""
        if self._directory is None:
            raise FileNotFoundError
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if not _is_ours(os.fstat(directory), stat.S_ISDIR):
                raise PermissionError
            yield directory
        finally:
            os.close(directory)


def _digest(key: str, body: bytes) -> bytes:
    """Return the digest of the content under its own name: a file that was renamed is damaged."""
    return hashlib.sha256(key.encode() + body).digest()


def _is_ours(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Tell whether it is of the expected kind, and nobody but root and our own account can have written it."""
    return is_kind(status.st_mode) and status.st_uid in {0, os.geteuid()} and not status.st_mode & _OTHERS_WRITE


def _remove_oldest(directory: int) -> None:
    """Remove the oldest files beyond the limit, unfinished ones as well; another process may remove them, too."""
    ages = []
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            ages.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, name))
    for _, name in sorted(ages, reverse=True)[_MAX_FILES:]:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
