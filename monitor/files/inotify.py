"""inotify(7) by ctypes: what the kernel tells of files and directories that are watched."""

import ctypes
import errno
import os
import struct

# linux/inotify.h
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
UNMOUNT, OVERFLOW, IGNORED, ONLYDIR, EXCL_UNLINK = 0x2000, 0x4000, 0x8000, 0x01000000, 0x04000000
_MASK_ADD = 0x20000000  # two paths may want different things of one directory
ENTRIES = MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLYDIR | EXCL_UNLINK
"""What happens to the names in a directory."""

EVENT = struct.Struct("=iIII")
"""Watch, mask, cookie, length; then the name, padded with zeros."""
READ_BYTES = 65536
MAX_READS = 64
"""A storm of events must not hold the caller for longer."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def init() -> int:
    """Return a non-blocking inotify descriptor, -1 with errno set if there is none."""
    return int(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def add_watch(descriptor: int, path: str, mask: int) -> int:
    """Return the watch of this path, -1 with errno set."""
    return int(_LIBC.inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(mask | _MASK_ADD)))


def remove_watch(descriptor: int, watch: int) -> None:
    """End a watch; one that ended by itself is passed over."""
    _LIBC.inotify_rm_watch(descriptor, watch)


def decode_events(data: bytes) -> list[tuple[int, int, str]]:
    """Return watch, mask and name of the events of one read (inotify(7)); an incomplete last one is passed over."""
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
    """A descriptor that becomes readable when something watched changed; silent where inotify cannot be had."""

    def __init__(self) -> None:
        """Open it; never raises for what the system lacks: `warning` says it."""
        self.warning = ""
        self._descriptor = init()
        self.works = self._descriptor >= 0
        if not self.works:
            self.warning = f"changes of files are noticed late: inotify: {os.strerror(ctypes.get_errno())}"
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Return the watch of this path, -1 where there is none; `warning` says why unless the path is gone."""
        watch = add_watch(self._descriptor, path, mask) if self.works else -1
        number = ctypes.get_errno()
        if watch < 0 and self.works and number not in (errno.ENOENT, errno.ENOTDIR):
            self.warning = f"changes of {path} are noticed late: inotify: {os.strerror(number)}"
        return watch

    def remove(self, watch: int) -> None:
        """End a watch."""
        if self.works and watch >= 0:
            remove_watch(self._descriptor, watch)

    def events(self) -> list[tuple[int, int, str]]:
        """Return watch, mask and name of what waits; bounded, the rest comes next."""
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
