"""A compiled program that no longer depends on the process that compiled it. Pure.

The instructions, struct bpf_insn of linux/bpf.h, refer to maps by descriptor. In a `CompiledProgram` they have the
number of the map instead, and the marks of `bpf/late.h` where a number of this start belongs. `relocate` fills in both.
"""

import struct
import sys
from collections.abc import Callable, Sequence

import msgspec

from monitor.model.errors import MalformedRecord

INSTRUCTION = struct.Struct("=BBhi")
"""Code, registers, offset, immediate."""
CAST_CALL = 0x7EED
"""The number of a helper that no kernel has: a program calls it in place of bpf_rdonly_cast."""
_SOURCE = 4 if sys.byteorder == "little" else 0
"""How far the source register is shifted."""
_CALL, _KERNEL_FUNCTION = 0x85, 2 << _SOURCE
_LOAD_64, _MAP = 0x18, 1 << _SOURCE
_SOURCE_MASK = 15 << _SOURCE
LATE_MARK = 0x7EED1A7E
"""The upper half of what `LATE` compiles to; the lower half is the number of the constant."""
_HALF = 0xFFFFFFFF
_NUMBER, _IMMEDIATE_AT = struct.Struct("=I"), 4


class CompiledMap(msgspec.Struct, frozen=True):
    """The definition of a map; sizes in bytes, of one value on one processor."""

    name: str
    kind: int
    """BPF_MAP_TYPE_*"""
    key_bytes: int
    value_bytes: int
    max_entries: int
    flags: int


class CompiledProgram(msgspec.Struct, frozen=True):
    """All maps that the functions use, and the instructions of each function."""

    maps: tuple[CompiledMap, ...]
    functions: dict[str, bytes]


def detach(instructions: bytes, descriptors: Sequence[int]) -> bytes:
    """Return the instructions with the number of each map in place of its descriptor.

    MalformedRecord if they refer to something else, to which another process cannot refer.
    """
    numbers = {descriptor: number for number, descriptor in enumerate(descriptors)}

    def number(source: int, low: int, high: int) -> tuple[int, int]:
        if not source:
            return low, high
        if source != _MAP or low not in numbers:
            raise MalformedRecord("ebpf", f"a reference of kind {source:#x} to {low}")
        return numbers[low], 0

    return _loads_replaced(instructions, number)


def relocate(
    instructions: bytes, descriptors: Sequence[int], constants: Sequence[int], cast_function: int | None = None
) -> bytes:
    """Return instructions for the kernel: with the descriptors of maps, and with the late constants.

    `cast_function` is the BTF ID of the kernel function that replaces CAST_CALL. MalformedRecord if the instructions
    refer to a map or a constant that does not exist.
    """

    def value(source: int, low: int, high: int) -> tuple[int, int]:
        if not source and high != LATE_MARK:
            return low, high
        values = descriptors if source == _MAP else constants
        if source not in (0, _MAP) or low >= len(values):
            raise MalformedRecord("ebpf", f"a reference of kind {source:#x} to {low}")
        return values[low] & _HALF, values[low] >> 32 & _HALF

    found = _loads_replaced(instructions, value)
    return found if cast_function is None else _call_cast(found, cast_function)


def _loads_replaced(instructions: bytes, replace: Callable[[int, int, int], tuple[int, int]]) -> bytes:
    """Replace both halves of each 64-bit immediate; `replace` gets the kind of reference and the halves."""
    if len(instructions) % INSTRUCTION.size:
        raise MalformedRecord("ebpf", "an instruction is truncated")
    found = bytearray(instructions)
    last = len(instructions) - INSTRUCTION.size
    for at in range(0, len(instructions), INSTRUCTION.size):
        if instructions[at] != _LOAD_64:
            continue
        if at == last:
            raise MalformedRecord("ebpf", "a 64-bit load is truncated")
        low_at, high_at = at + _IMMEDIATE_AT, at + INSTRUCTION.size + _IMMEDIATE_AT
        (low,), (high,) = _NUMBER.unpack_from(instructions, low_at), _NUMBER.unpack_from(instructions, high_at)
        low, high = replace(instructions[at + 1] & _SOURCE_MASK, low, high)
        _NUMBER.pack_into(found, low_at, low)
        _NUMBER.pack_into(found, high_at, high)
    return bytes(found)


def _call_cast(instructions: bytes, function: int) -> bytes:
    """Replace calls of CAST_CALL by calls of a kernel function."""
    return b"".join(
        INSTRUCTION.pack(_CALL, _KERNEL_FUNCTION, 0, function)
        if (code, immediate) == (_CALL, CAST_CALL)
        else INSTRUCTION.pack(code, registers, offset, immediate)
        for code, registers, offset, immediate in INSTRUCTION.iter_unpack(instructions)
    )
