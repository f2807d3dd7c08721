"""Compiles and loads one eBPF program, passes its descriptors to the daemon, and exits.

`python -m monitor.ebpf.compiler FD`: FD is a Unix socket with one message, a LoadRequest; the reply is one message, a
Report, with the descriptors attached. Only this process imports bcc, and only if no earlier start compiled the same.
"""

import contextlib
import hashlib
import os
import socket
import sys

import msgspec

from monitor.ebpf.bcc_compiler import compile_program
from monitor.ebpf.btf import KERNEL, Btf
from monitor.ebpf.cache_key import cache_key
from monitor.ebpf.compiled_cache import VARIABLE, CompiledCache
from monitor.ebpf.headers import source_directory
from monitor.ebpf.kallsyms import KALLSYMS, read_functions
from monitor.ebpf.kernel_objects import create_maps, lift_memory_limit, load_function
from monitor.ebpf.layout import Layout, read_layout
from monitor.ebpf.messages import (
    MAX_MESSAGE_BYTES,
    RAW_MODE,
    TRACING_MODE,
    KernelLacksError,
    LoadRequest,
    MapShape,
    Report,
)
from monitor.ebpf.program import CAST_CALL, CompiledProgram, relocate
from monitor.model.errors import MalformedRecord, PermanentError

_FUNCTIONS = frozenset(("ip_forward", "ip6_forward"))


class _Kernel(msgspec.Struct, frozen=True):
    """What a program needs to know about the running kernel's types."""

    layout: Layout | None
    """None unless the request needs it."""
    type_id: int | None
    """The type of the tracepoint, if the kernel has one."""


class _Loaded(msgspec.Struct, frozen=True):
    """Descriptors of the functions, and of all maps with their shapes by name."""

    functions: list[int]
    maps: dict[str, tuple[int, MapShape]]


def main(descriptor: int) -> None:
    """Answer the single request."""
    with socket.socket(fileno=descriptor) as channel:
        request = msgspec.json.decode(channel.recv(MAX_MESSAGE_BYTES), type=LoadRequest)
        try:
            report, descriptors = _Compiler(request, CompiledCache(os.environ.get(VARIABLE))).load()
        except (PermanentError, MalformedRecord) as error:
            report = Report(error=str(error), is_of_kernel=isinstance(error, KernelLacksError))
            descriptors = []
        socket.send_fds(channel, [msgspec.json.encode(report)], descriptors)


class _Compiler:
    """Answers one request."""

    def __init__(self, request: LoadRequest, cache: CompiledCache) -> None:
        self._request, self._cache = request, cache
        self._macros, self._constants = dict(request.macros), dict(request.constants)

    def load(self) -> tuple[Report, list[int]]:
        """Return the report and the descriptors that belong to it."""
        request = self._request
        kernel = self._kernel() if request.needs_layout or request.tracepoint else _Kernel(None, None)
        reasons, cast_function = Report().reasons, None
        if kernel.layout:
            reasons, cast_function = kernel.layout.reasons, kernel.layout.cast_function
            self._macros |= kernel.layout.macros
            self._constants |= _function_addresses()
        loaded, attach_mode, fallback_reason = self._best(kernel.type_id, cast_function)
        maps = [loaded.maps[name] for name in request.maps]
        descriptors = loaded.functions + [map_ for map_, _ in maps]
        shapes = [shape for _, shape in maps]
        return Report(list(request.functions), shapes, reasons, attach_mode, fallback_reason), descriptors

    def _best(self, type_id: int | None, cast_function: int | None) -> tuple[_Loaded, str, str]:
        """Return the loaded program, its attach mode, and why no better one is used."""
        fallback_reason = ""
        if self._request.tracepoint:
            if type_id is None:
                fallback_reason = f"this kernel has no BTF type of tracepoint {self._request.tracepoint}"
            else:
                if cast_function:
                    casts = {"TRACING": 1, "CASTS": 1, "CAST_CALL": CAST_CALL}
                    with contextlib.suppress(PermanentError):  # without casts it costs more, with the same result
                        return self._load(casts, type_id, cast_function), TRACING_MODE, ""
                try:
                    return self._load({"TRACING": 1}, type_id), TRACING_MODE, ""
                except PermanentError as error:
                    fallback_reason = str(error)
        return self._load({}), RAW_MODE, fallback_reason

    def _load(self, more: dict[str, int], type_id: int | None = None, cast_function: int | None = None) -> _Loaded:
        """Load the program with these macros: as it was compiled at an earlier start, or compile it."""
        lift_memory_limit()
        names = sorted(self._constants)
        macros = self._macros | more
        source = (source_directory() / self._request.source).read_text()
        key = cache_key("program", source, sorted(macros.items()), names, sorted(self._request.functions))
        known = self._cache.get(key, CompiledProgram)
        if known:
            with contextlib.suppress(PermanentError, MalformedRecord, OSError):  # compiled anew, which says why
                return self._into_kernel(known, create_maps(known.maps), type_id, cast_function)
        program, descriptors = compile_program(self._request.source, self._request.functions, macros, names)
        loaded = self._into_kernel(program, descriptors, type_id, cast_function)
        self._cache.put(key, program)  # only what the kernel took
        return loaded

    def _into_kernel(
        self, program: CompiledProgram, descriptors: list[int], type_id: int | None, cast_function: int | None
    ) -> _Loaded:
        """Load the functions, which use the maps with these descriptors."""
        constants = [self._constants[name] for name in sorted(self._constants)]
        functions = [
            load_function(relocate(program.functions[name], descriptors, constants, cast_function), name, kind, type_id)
            for name, kind in self._request.functions.items()
        ]
        maps = {
            each.name: (descriptor, MapShape(each.name, each.key_bytes, each.value_bytes, each.max_entries))
            for each, descriptor in zip(program.maps, descriptors, strict=True)
        }
        return _Loaded(functions, maps)

    def _kernel(self) -> _Kernel:
        """Read the kernel's types, or what an earlier start has read there: that takes a quarter of a second."""
        try:
            data = KERNEL.read_bytes()
        except OSError as error:
            raise KernelLacksError(f"this kernel has no BTF: {KERNEL}: {error.strerror}") from None
        key = cache_key(
            "kernel", hashlib.sha256(data).hexdigest(), self._request.needs_layout, self._request.tracepoint
        )
        known = self._cache.get(key, _Kernel)
        if known is None:
            btf = Btf(data)
            layout = read_layout(btf) if self._request.needs_layout else None
            known = _Kernel(layout, btf.typedef_id(f"btf_trace_{self._request.tracepoint}"))
            self._cache.put(key, known)
        return known


def _function_addresses() -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        found = read_functions(KALLSYMS.read_text(), _FUNCTIONS)
    return {name.upper(): found.get(name, 0) for name in _FUNCTIONS}


if __name__ == "__main__":
    main(int(sys.argv[1]))
