"""Loads a program for a tracepoint with BTF types of its arguments, which bcc cannot do.

Such a program can follow kernel pointers without calling bpf_probe_read_kernel. bpf(2): BPF_PROG_LOAD with
BPF_PROG_TYPE_TRACING and BPF_TRACE_RAW_TP, since 5.5.
"""

import ctypes
import struct

from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError

_PROG_LOAD, _TYPE_TRACING, _ATTACH_RAW_TP = 5, 26, 23  # linux/bpf.h
_ATTRIBUTES = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
"""In union bpf_attr: type, number and address of instructions, license; level, size and address of the log; version,
flags, name, interface, expected_attach_type, BTF of the program with functions and lines, attach_btf_id."""
_LOG_BYTES = 1 << 20
_INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn: code, registers, offset, immediate
_CALL, _PSEUDO_KERNEL_FUNCTION = 0x85, 2 << 4
CAST_CALL = 0x7EED
"""The number of a helper that no kernel has: a program calls it in place of bpf_rdonly_cast."""


def call_cast(instructions: bytes, function: int) -> bytes:
    """Return the program with calls of CAST_CALL replaced by calls of a kernel function, given by its BTF ID."""
    return b"".join(
        _INSTRUCTION.pack(_CALL, _PSEUDO_KERNEL_FUNCTION, 0, function)
        if (code, immediate) == (_CALL, CAST_CALL)
        else _INSTRUCTION.pack(code, registers, offset, immediate)
        for code, registers, offset, immediate in _INSTRUCTION.iter_unpack(instructions)
    )


def load_tracing(instructions: bytes, name: str, type_id: int) -> int:
    """Return the descriptor of the loaded program.

    `type_id` is the kernel's type `btf_trace_TRACEPOINT`; PermanentError has the verifier's message.
    """
    program = ctypes.create_string_buffer(instructions, len(instructions))
    license_text, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(_LOG_BYTES)
    packed = _ATTRIBUTES.pack(
        _TYPE_TRACING,
        len(instructions) // _INSTRUCTION.size,
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
    try:
        return bpf(_PROG_LOAD, packed)[0]
    except OSError as error:
        lines = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
        raise PermanentError(f"{error.strerror}: {'; '.join(lines[-3:])}") from None
