"""Compiles with bcc, which includes a compiler of a hundred megabytes: only the child process calls it."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from monitor.ebpf.headers import include_flags, kernel_source, source_directory
from monitor.ebpf.kernel_objects import NEEDS_PRIVILEGE
from monitor.ebpf.program import LATE_MARK, CompiledMap, CompiledProgram, detach
from monitor.model.errors import PermanentError

_SHOWN_LINES = 3
_NEEDS_BCC = "the Python module bcc is missing: install the distribution's package python3-bpfcc"


def compile_program(
    source: str, functions: Iterable[str], macros: Mapping[str, int], constants: Iterable[str]
) -> tuple[CompiledProgram, list[int]]:
    """Return the program, and the descriptors of its maps: bcc has created them, and keeps them while we run.

    `constants` are the names of numbers that are known only when the program is loaded. PermanentError if bcc or a
    privilege is missing, or if the program does not compile.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(kernel_source())
    try:
        from bcc import BPF, lib
    except ImportError as error:
        raise PermanentError(f"{_NEEDS_BCC} ({error})") from None
    flags = [f"-D{name}={value:#x}ull" if value > 0x7FFFFFFF else f"-D{name}={value}" for name, value in macros.items()]
    late = [f"-DLATE_MARK={LATE_MARK << 32:#x}ull", *(f"-D{name}=LATE({i})" for i, name in enumerate(constants))]
    text = (source_directory() / source).read_text()
    with _captured() as output:
        try:
            program = BPF(text=text, cflags=[*include_flags(), *flags, *late])
        except Exception as error:  # noqa: BLE001 - bcc raises bare Exception
            raise PermanentError(_explain(source, str(error), output())) from None
    maps, descriptors = _read_maps(lib, ctypes.c_void_p(program.module))
    return CompiledProgram(
        maps, {name: detach(program.dump_func(name), descriptors) for name in functions}
    ), descriptors


def _read_maps(lib: Any, module: ctypes.c_void_p) -> tuple[tuple[CompiledMap, ...], list[int]]:
    """Return the definitions of the maps of a module, and their descriptors."""
    name = lib.bpf_table_name
    name.restype, name.argtypes = ctypes.c_char_p, (ctypes.c_void_p, ctypes.c_size_t)
    numbers = [ctypes.c_size_t(number) for number in range(lib.bpf_num_tables(module))]
    maps = tuple(
        CompiledMap(
            name(module, number).decode(),
            lib.bpf_table_type_id(module, number),
            lib.bpf_table_key_size_id(module, number),
            lib.bpf_table_leaf_size_id(module, number),  # in per-CPU maps, too, that of one value
            lib.bpf_table_max_entries_id(module, number),
            lib.bpf_table_flags_id(module, number),
        )
        for number in numbers
    )
    return maps, [lib.bpf_table_fd_id(module, number) for number in numbers]


def _explain(source: str, error: str, output: str) -> str:
    if "create map" in error.lower() or "Operation not permitted" in output + error:
        return NEEDS_PRIVILEGE
    faults = [line for line in output.splitlines() if "error:" in line]
    return f"{source} does not compile here: {'; '.join(faults[:_SHOWN_LINES]) or error}"


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """Capture what the compiler writes to standard error; yields a function that returns it."""
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
