"""Loads a program for a tracepoint whose arguments the verifier knows by BTF, which bcc cannot do by itself.

Such a program follows kernel pointers without calls of bpf_probe_read_kernel. bpf(2): BPF_PROG_LOAD with
BPF_PROG_TYPE_TRACING and BPF_TRACE_RAW_TP, since 5.5.
"""

import ctypes
import struct

from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError

_PROG_LOAD, _TYPE_TRACING, _ATTACH_RAW_TP = 5, 26, 23  # linux/bpf.h
_ATTRIBUTES = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
"""Of union bpf_attr: type, number and place of instructions, license; level, size and place of the log; version, flags,
name, interface, expected_attach_type, BTF of the program with functions and lines, attach_btf_id."""
_LOG_BYTES = 1 << 20
_INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn: code, registers, offset, immediate
_CALL, _PSEUDO_KERNEL_FUNCTION = 0x85, 2 << 4
CAST_CALL = 0x7EED
"""The number of a helper that no kernel has: what a program calls where it means bpf_rdonly_cast."""


def call_cast(instructions: bytes, function: int) -> bytes:
    """Return the program with its calls of CAST_CALL turned into calls of a function of the kernel, by number."""
    return b"".join(
        _INSTRUCTION.pack(_CALL, _PSEUDO_KERNEL_FUNCTION, 0, function)
        if (code, immediate) == (_CALL, CAST_CALL)
        else _INSTRUCTION.pack(code, registers, offset, immediate)
        for code, registers, offset, immediate in _INSTRUCTION.iter_unpack(instructions)
    )


def load_tracing(instructions: bytes, name: str, type_id: int) -> int:
    """Return the descriptor of the loaded program.

    `type_id` is the kernel's type `btf_trace_TRACEPOINT`; PermanentError says what the verifier has against it.
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
