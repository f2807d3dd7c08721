"""Loads a program for a tracepoint whose arguments the verifier knows by BTF, which bcc cannot do by itself.

Such a program follows kernel pointers without calls of bpf_probe_read_kernel. bpf(2): BPF_PROG_LOAD with
BPF_PROG_TYPE_TRACING and BPF_TRACE_RAW_TP, since 5.5.
"""

import ctypes
import os
import platform
import struct

from monitor.model.errors import PermanentError

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}  # asm/unistd.h
_PROG_LOAD, _TYPE_TRACING, _ATTACH_RAW_TP = 5, 26, 23  # linux/bpf.h
_ATTRIBUTES = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
"""Of union bpf_attr: type, number and place of instructions, license; level, size and place of the log; version, flags,
name, interface, expected_attach_type, BTF of the program with functions and lines, attach_btf_id."""
_ATTRIBUTES_BYTES = 128
_LOG_BYTES = 1 << 20
_INSTRUCTION_BYTES = 8


def load_tracing(instructions: bytes, name: str, type_id: int) -> int:
    """Return the descriptor of the loaded program.

    `type_id` is the kernel's type `btf_trace_TRACEPOINT`; PermanentError says what the verifier has against it.
    """
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise PermanentError(f"not known how to load a program on {platform.machine()}")
    program = ctypes.create_string_buffer(instructions, len(instructions))
    license_text, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(_LOG_BYTES)
    packed = _ATTRIBUTES.pack(
        _TYPE_TRACING,
        len(instructions) // _INSTRUCTION_BYTES,
        ctypes.addressof(program),
        ctypes.addressof(license_text),
        1,
        _LOG_BYTES,
        ctypes.addressof(log),
        0,
        0,
        name.encode()[:15],
        0,
        _ATTACH_RAW_TP,
        *[0] * 7,
        type_id,
    )
    attributes = ctypes.create_string_buffer(packed, _ATTRIBUTES_BYTES)
    descriptor: int = ctypes.CDLL(None, use_errno=True).syscall(number, _PROG_LOAD, attributes, _ATTRIBUTES_BYTES)
    if descriptor < 0:
        lines = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
        raise PermanentError(f"{os.strerror(ctypes.get_errno())}: {'; '.join(lines[-3:])}")
    return descriptor
