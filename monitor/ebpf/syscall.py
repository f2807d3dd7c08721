"""bpf(2): the system call itself, for what bcc's library does not offer."""

import ctypes
import os
import platform
from typing import Any

from monitor.model.errors import PermanentError

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}  # asm/unistd.h
_ATTRIBUTES_BYTES = 128
"""More than union bpf_attr had for any command that is used here; what is behind its end must be zero."""


def bpf(command: int, packed: bytes) -> tuple[int, bytes]:
    """Return the result and the attributes as the kernel left them; OSError for what it refuses.

    `packed` is the start of union bpf_attr (linux/bpf.h). PermanentError on a machine whose number is not known.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise PermanentError(f"not known how to call bpf(2) on {platform.machine()}")
    attributes: Any = ctypes.create_string_buffer(packed, _ATTRIBUTES_BYTES)
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, command, attributes, _ATTRIBUTES_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, attributes.raw
