"""inotify(7) through ctypes: events of the kernel about watched files and directories."""

import ctypes
import errno
import os
import struct

# linux/inotify.h
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
UNMOUNT, OVERFLOW, IGNORED, ONLYDIR, EXCL_UNLINK = 0x2000, 0x4000, 0x8000, 0x01000000, 0x04000000
_MASK_ADD = 0x20000000  # two paths may need different events of one directory
ENTRIES = MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLYDIR | EXCL_UNLINK
"""Events on the names in a directory."""

EVENT = struct.Struct("=iIII")
"""Watch, mask, cookie, length; then the name, padded with zeros."""
READ_BYTES = 65536
MAX_READS = 64
"""The limit on reads per call: a storm of events must not block the caller for longer."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def init() -> int:
    """Return a non-blocking inotify descriptor; -1 with errno set on failure."""
    return int(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def add_watch(descriptor: int, path: str, mask: int) -> int:
    """Return the watch of this path; -1 with errno set on failure."""
    return int(_LIBC.inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(mask | _MASK_ADD)))


def remove_watch(descriptor: int, watch: int) -> None:
    """Remove a watch; one that the kernel has removed is ignored."""
    _LIBC.inotify_rm_watch(descriptor, watch)


def decode_events(data: bytes) -> list[tuple[int, int, str]]:
    """Return watch, mask and name of the events of one read (inotify(7)); an incomplete last one is ignored."""
    events = []
    offset = 0
    while offset + EVENT.size <= len(data):
        watch, mask, _, length = EVENT.unpack_from(data, offset)
        start, offset = offset + EVENT.size, offset + EVENT.size + length
        if offset > len(data):
            break
        events.append((watch, mask, os.fsdecode(data[start:offset].rstrip(b"\0"))))
    return events


class Inotify:
    """A descriptor that becomes readable when a watched path changed; never, if inotify is not available."""

    def __init__(self) -> None:
        """Open it; never raises if inotify is not available: `warning` reports that."""
        self.warning = ""
        self._descriptor = init()
        self.works = self._descriptor >= 0
        if not self.works:
            self.warning = f"changes of files are detected late: inotify: {os.strerror(ctypes.get_errno())}"
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Return the watch of this path, -1 on failure; `warning` says why unless the path is gone."""
        watch = add_watch(self._descriptor, path, mask) if self.works else -1
        number = ctypes.get_errno()
        if watch < 0 and self.works and number not in (errno.ENOENT, errno.ENOTDIR):
            self.warning = f"changes of {path} are detected late: inotify: {os.strerror(number)}"
        return watch

    def remove(self, watch: int) -> None:
        """Remove a watch."""
        if self.works and watch >= 0:
            remove_watch(self._descriptor, watch)

    def events(self) -> list[tuple[int, int, str]]:
        """Return watch, mask and name of pending events; bounded, the next call returns the rest."""
        found: list[tuple[int, int, str]] = []
        for _ in range(MAX_READS if self.works else 0):
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                break
            found += decode_events(data)
        return found

    def close(self) -> None:
        """End all watches."""
        os.close(self._descriptor)
