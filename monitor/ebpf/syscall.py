"""The system call bpf(2), for commands that bcc's library does not support."""

import ctypes
import functools
import os
from typing import Any

from monitor.model.errors import PermanentError

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}  # asm/unistd.h
_ATTRIBUTES_BYTES = 128
"""Larger than union bpf_attr for all commands used here; the bytes after its end must be zero."""

_Attributes = ctypes.c_char * _ATTRIBUTES_BYTES


def bpf(command: int, packed: bytes) -> tuple[int, bytes]:
    """Return the result and the attributes as changed by the kernel; OSError if it refuses.

    `packed` is the start of union bpf_attr (linux/bpf.h). PermanentError if the call number of this machine is unknown.
    """
    attributes: Any = _Attributes.from_buffer_copy(packed.ljust(_ATTRIBUTES_BYTES, b"\0"))
    result: int = _libc().syscall(_number(), command, attributes, _ATTRIBUTES_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, attributes.raw


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _number() -> int:
    machine = os.uname().machine
    if machine not in _NUMBERS:
        raise PermanentError(f"the number of the system call bpf(2) on {machine} is unknown")
    return _NUMBERS[machine]
