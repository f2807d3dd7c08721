"""Compiled programs on their way to another process: references to maps, numbers of a start, and damage."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.ebpf.program import _SOURCE, CAST_CALL, INSTRUCTION, detach, relocate
from monitor.model.errors import MalformedRecord

_LOAD, _CALL, _EXIT = 0x18, 0x85, 0x95
_MAP, _MAP_VALUE = 1 << _SOURCE, 2 << _SOURCE
_MARK = 0x7EED1A7E


def _load(source: int, low: int, high: int = 0) -> bytes:
    """A load of 64 bits: two instructions, each with a half; immediates are signed."""
    first, second = (int.from_bytes(half.to_bytes(4), signed=True) for half in (low, high))
    return INSTRUCTION.pack(_LOAD, source | 1, 0, first) + INSTRUCTION.pack(0, 0, 0, second)


def _late(number: int) -> bytes:
    return _load(0, number, _MARK)


_END = INSTRUCTION.pack(_EXIT, 0, 0, 0)
_numbers = some.integers(0, (1 << 64) - 1)


@given(some.lists(some.sampled_from(range(3)), max_size=8), some.lists(_numbers, min_size=3, max_size=3))
def test_what_was_detached_is_bound_to_other_maps_and_to_the_numbers_of_the_start(
    order: list[int], constants: list[int]
) -> None:
    """Each map has the descriptor that it has now, each constant all of its 64 bits; all else stays."""
    ordinary = _load(0, 7, 9)
    compiled = b"".join(_load(_MAP, [40, 41, 99][number]) + _late(number) + ordinary for number in order) + _END
    again = relocate(detach(compiled, [40, 41, 99]), [5, 6, 7], constants)
    expected = (
        _load(_MAP, [5, 6, 7][number]) + _load(0, constants[number] & 0xFFFFFFFF, constants[number] >> 32) + ordinary
        for number in order
    )
    assert again == b"".join(expected) + _END


def test_casts_are_calls_of_the_kernel() -> None:
    """Only the helper that no kernel has is replaced."""
    calls = INSTRUCTION.pack(_CALL, 0, 0, CAST_CALL) + INSTRUCTION.pack(_CALL, 0, 0, 1)
    assert relocate(calls, [], []) == calls
    assert relocate(calls, [], [], 4711) == INSTRUCTION.pack(_CALL, _MAP_VALUE, 0, 4711) + calls[INSTRUCTION.size :]


@pytest.mark.parametrize(
    "compiled",
    [_load(_MAP, 3), _load(_MAP_VALUE, 40), _load(_MAP, 40)[:8], _END[:7]],
    ids=["an unknown map", "the content of a map", "half a load", "half an instruction"],
)
def test_what_no_other_process_can_use_is_refused(compiled: bytes) -> None:
    """It would refer to whatever has that descriptor there."""
    with pytest.raises(MalformedRecord):
        detach(compiled, [40])


@pytest.mark.parametrize(
    "kept", [_load(_MAP, 1), _late(1), _load(_MAP_VALUE, 0), _late(0)[:8]], ids=["map", "constant", "kind", "half"]
)
def test_a_reference_to_nothing_is_refused(kept: bytes) -> None:
    """A program is loaded with all of its references, or not at all."""
    with pytest.raises(MalformedRecord):
        relocate(kept, [5], [6])


@given(some.binary(max_size=200), some.lists(some.integers(0, 99), max_size=3))
def test_any_bytes_are_relocated_or_refused(kept: bytes, descriptors: list[int]) -> None:
    """Nothing else is raised, and the length never changes."""
    with contextlib.suppress(MalformedRecord):
        assert len(relocate(kept, descriptors, descriptors, 1)) == len(kept)
