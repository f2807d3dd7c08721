"""Compiles and loads one eBPF program, passes its descriptors to the daemon, and exits.

`python -m monitor.ebpf.compiler FD`: FD is a Unix socket with one message, a LoadRequest; the reply is one message, a
Report, with the descriptors attached. bcc includes a compiler of a hundred megabytes: only this process imports it.
"""

import contextlib
import ctypes
import errno
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.ebpf.btf import KERNEL, Btf
from monitor.ebpf.headers import include_flags, kernel_source, source_directory
from monitor.ebpf.kallsyms import KALLSYMS, read_functions
from monitor.ebpf.layout import read_layout
from monitor.ebpf.messages import (
    MAX_MESSAGE_BYTES,
    RAW_MODE,
    TRACING_MODE,
    KernelLacksError,
    LoadRequest,
    MapShape,
    Report,
)
from monitor.ebpf.tracing import CAST_CALL, call_cast, load_tracing
from monitor.model.errors import MalformedRecord, PermanentError

_FUNCTIONS = frozenset(("ip_forward", "ip6_forward"))
_SHOWN_LINES = 3
_NEEDS_PRIVILEGE = (
    "loading eBPF programs needs CAP_BPF and CAP_PERFMON: run as root, or give the service "
    "AmbientCapabilities=CAP_BPF CAP_PERFMON"
)
_NEEDS_BCC = "the Python module bcc is missing: install the distribution's package python3-bpfcc"


def main(descriptor: int) -> None:
    """Answer the single request."""
    with socket.socket(fileno=descriptor) as channel:
        request = msgspec.json.decode(channel.recv(MAX_MESSAGE_BYTES), type=LoadRequest)
        try:
            report, descriptors = _load(request)
        except (PermanentError, MalformedRecord) as error:
            report = Report(error=str(error), is_of_kernel=isinstance(error, KernelLacksError))
            descriptors = []
        socket.send_fds(channel, [msgspec.json.encode(report)], descriptors)


def _load(request: LoadRequest) -> tuple[Report, list[int]]:
    macros = dict(request.macros)
    reasons = Report().reasons
    cast_function = None
    btf = _kernel_btf() if request.needs_layout or request.tracepoint else None
    if request.needs_layout and btf:
        layout = read_layout(btf)
        macros |= layout.macros | _function_macros()
        reasons, cast_function = layout.reasons, layout.cast_function
    program, functions, attach_mode, fallback_reason = _best(request, macros, btf, cast_function)
    maps = {name: program[name] for name in request.maps}
    shapes = [
        # in per-CPU maps bcc's Leaf is the array of the values of all processors, sLeaf one value
        MapShape(name, ctypes.sizeof(table.Key), ctypes.sizeof(getattr(table, "sLeaf", table.Leaf)), table.max_entries)
        for name, table in maps.items()
    ]
    descriptors = functions + [table.map_fd for table in maps.values()]
    return Report(list(request.functions), shapes, reasons, attach_mode, fallback_reason), descriptors


def _best(
    request: LoadRequest, macros: dict[str, int], btf: Btf | None, cast_function: int | None
) -> tuple[Any, list[int], str, str]:
    """Return the compiled program, descriptors of its functions, the attach mode, and why no better one is used."""
    fallback_reason = ""
    if request.tracepoint and btf:
        if cast_function:
            with contextlib.suppress(PermanentError):  # without casts it costs more, with the same result
                return *_trace(request, macros, btf, cast_function), TRACING_MODE, ""
        try:
            return *_trace(request, macros, btf), TRACING_MODE, ""
        except PermanentError as error:
            fallback_reason = str(error)
    program = _compile(request.source, macros)
    with _captured() as output:
        try:
            functions = [program.load_func(name, kind).fd for name, kind in request.functions.items()]
        except Exception as error:  # noqa: BLE001 - bcc raises bare Exception
            raise _explain_load(str(error), output()) from None
    return program, functions, RAW_MODE, fallback_reason


def _trace(
    request: LoadRequest, macros: dict[str, int], btf: Btf, cast_function: int | None = None
) -> tuple[Any, list[int]]:
    """Return the program, compiled and loaded for a tracepoint of known types."""
    type_id = btf.typedef_id(f"btf_trace_{request.tracepoint}")
    if type_id is None:
        raise PermanentError(f"this kernel has no BTF type of tracepoint {request.tracepoint}")
    casts = {"CASTS": 1, "CAST_CALL": CAST_CALL} if cast_function else {}
    program = _compile(request.source, macros | {"TRACING": 1} | casts)
    (name,) = request.functions
    instructions = program.dump_func(name)
    if cast_function:
        instructions = call_cast(instructions, cast_function)
    return program, [load_tracing(instructions, name, type_id)]


def _kernel_btf() -> Btf:
    try:
        return Btf(KERNEL.read_bytes())
    except OSError as error:
        raise KernelLacksError(f"this kernel has no BTF: {KERNEL}: {error.strerror}") from None


def _function_macros() -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        found = read_functions(KALLSYMS.read_text(), _FUNCTIONS)
    return {name.upper(): found.get(name, 0) for name in _FUNCTIONS}


def _compile(source: str, macros: dict[str, int]) -> Any:
    os.environ["BCC_KERNEL_SOURCE"] = str(kernel_source())
    with contextlib.suppress(ValueError, OSError):  # kernels before 5.11 count maps against it
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        from bcc import BPF
    except ImportError as error:
        raise PermanentError(f"{_NEEDS_BCC} ({error})") from None
    flags = [f"-D{name}={value:#x}ull" if value > 0x7FFFFFFF else f"-D{name}={value}" for name, value in macros.items()]
    text = (source_directory() / source).read_text()
    with _captured() as output:
        try:
            return BPF(text=text, cflags=[*include_flags(), *flags])
        except Exception as error:  # noqa: BLE001 - bcc raises bare Exception
            raise PermanentError(_explain_compile(source, str(error), output())) from None


def _explain_compile(source: str, error: str, output: str) -> str:
    if "create map" in error.lower() or "Operation not permitted" in output + error:
        return _NEEDS_PRIVILEGE
    faults = [line for line in output.splitlines() if "error:" in line]
    return f"{source} does not compile here: {'; '.join(faults[:_SHOWN_LINES]) or error}"


def _explain_load(error: str, output: str) -> PermanentError:
    if os.strerror(errno.EPERM) in error and "processed" not in output:
        lockdown = Path("/sys/kernel/security/lockdown")
        with contextlib.suppress(OSError):
            if "[none]" not in (state := lockdown.read_text()):
                return PermanentError(
                    f"the kernel is locked down, so eBPF programs may not read its memory: {state.strip()}"
                )
        return PermanentError(_NEEDS_PRIVILEGE)
    lines = [line for line in output.splitlines() if line.strip()]
    return KernelLacksError(f"the kernel refuses the program: {error}: {'; '.join(lines[-_SHOWN_LINES:])}")


@contextlib.contextmanager
def _captured() -> Iterator[Any]:
    """Capture what compiler and verifier write to standard error; yields a function that returns it."""
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def written() -> str:
            file.seek(0)
            return file.read(1 << 20).decode(errors="replace")

        try:
            yield written
        finally:
            os.dup2(before, 2)
            os.close(before)


if __name__ == "__main__":
    main(int(sys.argv[1]))
