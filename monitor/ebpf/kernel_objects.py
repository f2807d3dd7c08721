"""Creates maps and loads programs with bpf(2), without bcc.

bcc cannot load a program for a tracepoint with BTF types of its arguments, which can follow kernel pointers without
calling bpf_probe_read_kernel: BPF_PROG_LOAD with BPF_PROG_TYPE_TRACING and BPF_TRACE_RAW_TP, since 5.5.
"""

import contextlib
import ctypes
import errno
import os
import resource
import struct
from collections.abc import Sequence
from pathlib import Path

from monitor.ebpf.messages import KernelLacksError
from monitor.ebpf.program import INSTRUCTION, CompiledMap
from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError

_MAP_CREATE, _PROG_LOAD, _TYPE_TRACING, _ATTACH_RAW_TP = 0, 5, 26, 23  # linux/bpf.h
_MAP_ATTRIBUTES = struct.Struct("=IIIIIII16s")
"""In union bpf_attr: type, sizes of key and value, entries, flags, inner map, NUMA node, name."""
_ATTRIBUTES = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
"""In union bpf_attr: type, number and address of instructions, license; level, size and address of the log; version,
flags, name, interface, expected_attach_type, BTF of the program with functions and lines, attach_btf_id."""
_LOG_BYTES = 1 << 20
_SHOWN_LINES = 3
NEEDS_PRIVILEGE = (
    "loading eBPF programs needs CAP_BPF and CAP_PERFMON: run as root, or give the service "
    "AmbientCapabilities=CAP_BPF CAP_PERFMON"
)


def lift_memory_limit() -> None:
    """Raise the limit on locked memory, where that is allowed: kernels before 5.11 count maps against it."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def create_maps(maps: Sequence[CompiledMap]) -> list[int]:
    """Return the descriptors of new maps; OSError if the kernel refuses one."""
    descriptors: list[int] = []
    try:
        for each in maps:
            sizes = each.kind, each.key_bytes, each.value_bytes, each.max_entries, each.flags
            packed = _MAP_ATTRIBUTES.pack(*sizes, 0, 0, each.name.encode()[:15])
            descriptors.append(bpf(_MAP_CREATE, packed)[0])
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors


def load_function(instructions: bytes, name: str, kind: int, type_id: int | None = None) -> int:
    """Return the descriptor of the loaded program.

    `kind` is BPF_PROG_TYPE_*. With a `type_id`, the kernel's type `btf_trace_TRACEPOINT`, it is loaded as a tracing
    program instead. PermanentError if a privilege is missing; KernelLacksError has the verifier's message.
    """
    try:
        return _load(instructions, name, kind, type_id, None)
    except OSError:
        pass
    log = ctypes.create_string_buffer(_LOG_BYTES)
    try:  # again, for the reason: the log of a good program takes the verifier several times as long
        return _load(instructions, name, kind, type_id, log)
    except OSError as error:
        raise _explain(error, log.value.decode(errors="replace")) from None


def _load(
    instructions: bytes, name: str, kind: int, type_id: int | None, log: "ctypes.Array[ctypes.c_char] | None"
) -> int:
    program = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(b"GPL")
    packed = _ATTRIBUTES.pack(
        kind if type_id is None else _TYPE_TRACING,
        len(instructions) // INSTRUCTION.size,
        ctypes.addressof(program),
        ctypes.addressof(license_text),
        *((1, len(log), ctypes.addressof(log)) if log else (0, 0, 0)),
        0,
        0,
        name.encode()[:15],
        0,
        0 if type_id is None else _ATTACH_RAW_TP,
        *[0] * 7,
        type_id or 0,
    )
    return bpf(_PROG_LOAD, packed)[0]


def _explain(error: OSError, log: str) -> PermanentError:
    if error.errno == errno.EPERM and "processed" not in log:
        lockdown = Path("/sys/kernel/security/lockdown")
        with contextlib.suppress(OSError):
            if "[none]" not in (state := lockdown.read_text()):
                return PermanentError(
                    f"the kernel is locked down, so eBPF programs may not read its memory: {state.strip()}"
                )
        return PermanentError(NEEDS_PRIVILEGE)
    lines = [line for line in log.splitlines() if line.strip()]
    reason = "; ".join([os.strerror(error.errno or 0), *lines[-_SHOWN_LINES:]])
    return KernelLacksError(f"the kernel refuses the program: {reason}")
