"""Takes privileges from the calling thread for a while: the kernel then really refuses."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

CAP_NET_ADMIN = 12  # linux/capability.h
_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def without(capability: int) -> Iterator[None]:
    """Drop one of the first 32 capabilities from the effective set of this thread, and restore it at the end."""
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    _call(_LIBC.capget(ctypes.byref(header), ctypes.byref(sets)))
    before = sets[0].effective
    sets[0].effective = before & ~(1 << capability)
    _call(_LIBC.capset(ctypes.byref(header), ctypes.byref(sets)))
    try:
        yield
    finally:
        sets[0].effective = before
        _call(_LIBC.capset(ctypes.byref(header), ctypes.byref(sets)))


def _call(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
