"""Keeps what was compiled for later starts, and gives back only what nobody else can have written.

Kept programs run in the kernel, kept databases in the process: only files count that root or this account wrote, in a
directory where nobody else can write. A file has the digest of its content and is replaced as a whole, so one that is
damaged or torn means only that it is made again. Whatever fails costs the next start some time, and nothing else.
"""

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from monitor.files.digests import add_in_parts

MAX_FILES = 64
_DIGEST_BYTES = 32
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeptFiles:
    """What was kept, by key: the hexadecimal digest of all that the content follows from."""

    def __init__(
        self,
        directory: Path | None,
        suffix: str,
        max_bytes: int,
        *,
        max_files: int = MAX_FILES,
        makes_directory: bool = False,
    ) -> None:
        """Take the directory; None, or one that is not to be trusted, keeps nothing.

        `max_bytes` bounds a file, its digest included, and `max_files` their number. `makes_directory`: make it when
        something is to be kept.
        """
        self._max_files = max_files
        self._directory = directory
        self._suffix = suffix
        self._max_bytes = max_bytes
        self._makes_directory = makes_directory

    def get(self, key: str) -> bytes | None:
        """Return what is kept; None if nothing is, or nothing to be trusted."""
        with contextlib.suppress(OSError), self._opened() as directory:
            descriptor = os.open(key + self._suffix, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
            with os.fdopen(descriptor, "rb") as file:
                if not _is_ours(os.fstat(descriptor), stat.S_ISREG):
                    return None
                content = file.read(self._max_bytes)
            digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            return body if digest == _digest(key, body) else None
        return None

    def put(self, key: str, body: bytes) -> None:
        """Keep content; where that fails it is made anew next time. The oldest files make room."""
        if len(body) > self._max_bytes - _DIGEST_BYTES:
            return
        with contextlib.suppress(OSError):
            if self._makes_directory and self._directory is not None:
                self._directory.mkdir(mode=0o700, exist_ok=True)
            with self._opened() as directory:
                self._replace(directory, key, body)
                _remove_oldest(directory, self._max_files)

    def _replace(self, directory: int, key: str, body: bytes) -> None:
        draft = f".{key}.{os.getpid()}.{threading.get_ident()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(draft, flags, 0o600, dir_fd=directory), "wb") as file:
                file.write(_digest(key, body) + body)
            os.rename(draft, key + self._suffix, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=directory)

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
    digest = hashlib.sha256(key.encode())
    add_in_parts(digest, body)
    return digest.digest()


def _is_ours(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Tell whether it is of the expected kind, and nobody but root and our own account can have written it."""
    return is_kind(status.st_mode) and status.st_uid in {0, os.geteuid()} and not status.st_mode & _OTHERS_WRITE


def _remove_oldest(directory: int, limit: int) -> None:
    """Remove the oldest files beyond the limit, unfinished ones as well; another process may remove them, too."""
    ages = []
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            ages.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, name))
    for _, name in sorted(ages, reverse=True)[limit:]:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
