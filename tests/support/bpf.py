"""What eBPF programs the kernel holds, asked with bpf(2)."""

import ctypes
import os
import struct

from monitor.ebpf.maps import library
from monitor.ebpf.tracing import BPF_SYSCALL

_GET_NEXT_ID, _GET_FD_BY_ID = 11, 13
_NAME_AT = 64  # struct bpf_prog_info
_INFO_BYTES = 232


def _bpf(command: int, *numbers: int) -> tuple[int, bytes]:
    packed = struct.pack(f"={len(numbers)}I", *numbers)
    attributes = ctypes.create_string_buffer(packed, 128)
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(BPF_SYSCALL[os.uname().machine], command, attributes, 128), attributes.raw


_TEST_RUN = 10
_TEST_RUN_ATTRIBUTES = struct.Struct("=IIIIQQII")  # of union bpf_attr, `test`: up to `duration`
_MAX_FRAME_BYTES = 2048


def run_once(program: int, frame: bytes, repeat: int = 1) -> tuple[int, int]:
    """Run an XDP program on a frame by BPF_PROG_TEST_RUN; return its verdict and the nanoseconds of one run."""
    data = ctypes.create_string_buffer(frame, len(frame))
    out = ctypes.create_string_buffer(_MAX_FRAME_BYTES)
    packed = _TEST_RUN_ATTRIBUTES.pack(
        program, 0, len(frame), _MAX_FRAME_BYTES, ctypes.addressof(data), ctypes.addressof(out), repeat, 0
    )
    attributes = ctypes.create_string_buffer(packed, 128)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(BPF_SYSCALL[os.uname().machine], _TEST_RUN, attributes, 128) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    values = _TEST_RUN_ATTRIBUTES.unpack_from(attributes.raw)
    return values[1], values[7]


def programs(name: str) -> set[int]:
    """Return the numbers of the programs of this name."""
    found: set[int] = set()
    number = 0
    while True:
        result, attributes = _bpf(_GET_NEXT_ID, number)
        if result < 0:
            return found
        number = struct.unpack_from("=I", attributes, 4)[0]
        descriptor, _ = _bpf(_GET_FD_BY_ID, number)
        if descriptor < 0:
            continue
        info, size = ctypes.create_string_buffer(_INFO_BYTES), ctypes.c_uint32(_INFO_BYTES)
        library().bpf_obj_get_info(descriptor, info, ctypes.byref(size))
        os.close(descriptor)
        if info.raw[_NAME_AT : _NAME_AT + 16].rstrip(b"\0") == name.encode():
            found.add(number)
