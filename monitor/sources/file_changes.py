"""Tells when files and directories changed, by inotify(7), and reads them with bounds.

Files are replaced by rename, appear late and vanish, so it is directories that are watched: of every path all
directories on the way to it, each for the next name only, and the path itself where it is a directory. Where a
symbolic link leads elsewhere, the way to what it names is watched as well.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

# linux/inotify.h
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_UNMOUNT, _OVERFLOW, _ONLYDIR, _EXCL_UNLINK = 0x2000, 0x4000, 0x01000000, 0x04000000
_MASK_ADD = 0x20000000  # two paths may want different things of one directory
_ENTRIES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR | _EXCL_UNLINK
_CONTENT = _ENTRIES | _MODIFY | _CLOSE_WRITE
_EVENT = struct.Struct("=iIII")  # wd, mask, cookie, len; then the name, padded with zeros
_READ_BYTES = 65536
_MAX_READS = 64
_MAX_WATCHES = 512

_LIBC = ctypes.CDLL(None, use_errno=True)


def read_bounded(path: Path, limit_bytes: int) -> bytes | None:
    """Return a regular file's content, one byte more than the limit if it is larger, None where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            return file.read(limit_bytes + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None


class FileChanges:
    """A descriptor that becomes readable when one of the paths, or an entry of a directory among them, changed.

    Where inotify cannot be had (no kernel support, or `fs.inotify.max_user_instances` is used up) it never becomes
    readable, and `warning` says why; with too few watches (`fs.inotify.max_user_watches`) it follows what it can.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Watch these absolute paths, whether they exist or not; never raises for what the system lacks."""
        self.warning = ""
        self._paths = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - without following links
        self._names: dict[int, set[str] | None] = {}
        """By watch: the names that matter in this directory, None for all."""
        self._descriptor = _init()
        if self._descriptor < 0:
            self.warning = f"changes of files are not followed: inotify: {os.strerror(ctypes.get_errno())}"
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._works = False
        else:
            self._works = True
            self._watch()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def drain(self) -> bool:
        """Take what waits; whether something relevant changed. Lost notifications (IN_Q_OVERFLOW) count as change.

        Directories that appeared are watched when this returns, so what is read afterwards is followed.
        """
        changed = moved = False
        for _ in range(_MAX_READS if self._works else 0):  # a storm must not hold the caller; the rest is read next
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                break
            for watch, mask, name in decode_events(data):
                if self._is_relevant(watch, mask, name):
                    changed = True
                    moved = moved or bool(mask & ~(_MODIFY | _CLOSE_WRITE))
        if moved:
            self._watch()
        return changed

    def close(self) -> None:
        """End all watches."""
        os.close(self._descriptor)

    def _is_relevant(self, watch: int, mask: int, name: str) -> bool:
        if mask & _OVERFLOW:
            return True
        if watch not in self._names:  # removed by ourselves, or already seen to be gone
            return False
        names = self._names[watch]
        return bool(mask & _UNMOUNT) or names is None or name in names

    def _watch(self) -> None:
        """Set all watches anew; from the root down, so that what appears meanwhile is told by its parent."""
        before = self._names
        self._names = {}
        for path in self._paths:
            self._watch_way(path)
            if (real := os.path.realpath(path)) != path:
                self._watch_way(real)
        for watch in before.keys() - self._names.keys():
            _LIBC.inotify_rm_watch(self._descriptor, watch)

    def _watch_way(self, path: str) -> None:
        """Watch every directory from the root to the path, and the path itself."""
        directory = "/"
        parts = path.strip("/").split("/")
        for position, name in enumerate(parts, 1):
            if not self._add(directory, _CONTENT if position == len(parts) else _ENTRIES, name):
                return
            directory = os.path.join(directory, name)  # noqa: PTH118 - text all along
        self._add(directory, _CONTENT, None)

    def _add(self, directory: str, mask: int, name: str | None) -> bool:
        """Watch a directory for one name or, with None, for all; whether there is such a directory."""
        if len(self._names) >= _MAX_WATCHES:
            self.warning = f"changes of some files are not followed: more than {_MAX_WATCHES} directories"
            return False
        watch = _add_watch(self._descriptor, directory, mask)
        if watch < 0:
            number = ctypes.get_errno()
            if number not in (errno.ENOENT, errno.ENOTDIR):
                self.warning = f"changes below {directory} are not followed: inotify: {os.strerror(number)}"
            return False
        if name is None:
            self._names[watch] = None
        elif (names := self._names.setdefault(watch, set())) is not None:
            names.add(name)
        return True


def _init() -> int:
    """Return a non-blocking inotify descriptor, -1 with errno set if there is none."""
    return int(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def _add_watch(descriptor: int, directory: str, mask: int) -> int:
    """Return the watch of this directory, -1 with errno set."""
    return int(_LIBC.inotify_add_watch(descriptor, os.fsencode(directory), ctypes.c_uint32(mask | _MASK_ADD)))


def decode_events(data: bytes) -> list[tuple[int, int, str]]:
    """Return watch, mask and name of the events of one read (inotify(7)); an incomplete last one is passed over."""
    events = []
    offset = 0
    while offset + _EVENT.size <= len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, offset)
        start, offset = offset + _EVENT.size, offset + _EVENT.size + length
        if offset > len(data):
            break
        events.append((watch, mask, os.fsdecode(data[start:offset].rstrip(b"\0"))))
    return events
