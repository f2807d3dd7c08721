"""Reports changes of files and directories, by inotify(7), and reads files up to a size limit.

Files are replaced by rename, appear late and vanish, so directories are watched: for every path all its parent
directories, each for the next name only, and the path itself if it is a directory. If a path contains symbolic links,
the parents of their target are watched as well.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from monitor.files import inotify

_CONTENT = inotify.ENTRIES | inotify.MODIFY | inotify.CLOSE_WRITE
_MAX_WATCHES = 512

_init = inotify.init
_add_watch = inotify.add_watch
decode_events = inotify.decode_events


def read_bounded(path: Path, limit_bytes: int) -> bytes | None:
    """Return the content of a regular file, limit + 1 bytes of it if it is larger, None if it cannot be read."""
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
    """A descriptor that becomes readable when one of the paths, or an entry of a directory among them, has changed.

    Without inotify (no kernel support, or `fs.inotify.max_user_instances` is exhausted) it never becomes readable, and
    `warning` says why; with too few watches (`fs.inotify.max_user_watches`) it watches as many paths as possible.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Watch these absolute paths, whether they exist or not; never raises if inotify is not available."""
        self.warning = ""
        self._paths = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - without following links
        self._names: dict[int, set[str] | None] = {}
        """By watch: the relevant names in this directory, None for all."""
        self._descriptor = _init()
        if self._descriptor < 0:
            self.warning = f"changes of files are not detected: inotify: {os.strerror(ctypes.get_errno())}"
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._works = False
        else:
            self._works = True
            self._watch()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def drain(self) -> bool:
        """Read pending events; return whether a relevant path changed. Lost events (IN_Q_OVERFLOW) count as a change.

        New directories are watched when this returns, so later changes to files read afterwards are detected.
        """
        changed = moved = False
        for _ in range(inotify.MAX_READS if self._works else 0):
            try:
                data = os.read(self._descriptor, inotify.READ_BYTES)
            except BlockingIOError:
                break
            for watch, mask, name in decode_events(data):
                if self._is_relevant(watch, mask, name):
                    changed = True
                    moved = moved or bool(mask & ~(inotify.MODIFY | inotify.CLOSE_WRITE))
        if moved:
            self._watch()
        return changed

    def close(self) -> None:
        """Remove all watches."""
        os.close(self._descriptor)

    def _is_relevant(self, watch: int, mask: int, name: str) -> bool:
        if mask & inotify.OVERFLOW:
            return True
        if watch not in self._names:  # removed by us, or already known to be gone
            return False
        names = self._names[watch]
        return bool(mask & inotify.UNMOUNT) or names is None or name in names

    def _watch(self) -> None:
        """Set all watches again; from the root down, so that the parent's watch reports what appears meanwhile."""
        before = self._names
        self._names = {}
        self.warning = ""
        for path in self._paths:
            self._watch_parents(path)
            if (real := os.path.realpath(path)) != path:
                self._watch_parents(real)
        for watch in before.keys() - self._names.keys():
            inotify.remove_watch(self._descriptor, watch)

    def _watch_parents(self, path: str) -> None:
        """Watch every directory from the root to the path, and the path itself."""
        directory = "/"
        parts = path.strip("/").split("/")
        for position, name in enumerate(parts, 1):
            if not self._add(directory, _CONTENT if position == len(parts) else inotify.ENTRIES, name):
                return
            directory = os.path.join(directory, name)  # noqa: PTH118 - text all along
        self._add(directory, _CONTENT, None)

    def _add(self, directory: str, mask: int, name: str | None) -> bool:
        """Watch a directory for one name or, with None, for all; return whether the directory exists."""
        if len(self._names) >= _MAX_WATCHES:
            self.warning = f"changes of some files are not detected: more than {_MAX_WATCHES} directories to watch"
            return False
        watch = _add_watch(self._descriptor, directory, mask)
        if watch < 0:
            number = ctypes.get_errno()
            if number not in (errno.ENOENT, errno.ENOTDIR):
                self.warning = f"changes below {directory} are not detected: inotify: {os.strerror(number)}"
            return False
        if name is None:
            self._names[watch] = None
        elif (names := self._names.setdefault(watch, set())) is not None:
            names.add(name)
        return True
