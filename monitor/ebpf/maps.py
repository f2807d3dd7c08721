"""Maps, attaching and run statistics through libbcc_bpf, the library of bcc without the compiler."""

import ctypes
import errno
import functools
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from monitor.ebpf.messages import MapShape
from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError, TemporaryError

_T = TypeVar("_T")
_LIBRARY = "libbcc_bpf.so.0"
_POSSIBLE = Path("/sys/devices/system/cpu/possible")
_BLOCK = 64
_BATCH = 1024
_ENABLE_STATS = 32
_RUN_TIME = struct.Struct("=QQ")
_INFO_BYTES, _RUN_TIME_AT = 232, 192  # struct bpf_prog_info, linux/bpf.h: run_time_ns and run_cnt


@functools.cache
def library() -> ctypes.CDLL:
    """Return the library; PermanentError if it is not installed."""
    try:
        return ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise PermanentError(f"{_LIBRARY} is missing: install the distribution's package libbpfcc ({error})") from None


@functools.cache
def processors() -> int:
    """Return the number of possible processors: per-CPU maps have a value for each."""
    last = _POSSIBLE.read_text().strip().replace(",", "-").rpartition("-")[2]
    return int(last) + 1


def _check(result: int, what: str) -> None:
    if result < 0:
        raise TemporaryError(f"{what}: {os.strerror(ctypes.get_errno())}")


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


class Map:
    """One map, accessed by its descriptor; keys and values are bytes."""

    def __init__(self, descriptor: int, shape: MapShape) -> None:
        """Use the descriptor, which the caller still owns."""
        self.shape = shape
        self._descriptor = descriptor
        self._key = ctypes.create_string_buffer(shape.key_bytes)
        self._value = ctypes.create_string_buffer(shape.value_bytes)

    @property
    def descriptor(self) -> int:
        """Its descriptor, which stays the caller's of the constructor."""
        return self._descriptor

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Set one value; TemporaryError if the map is full."""
        _check(library().bpf_update_elem(self._descriptor, key, value, 0), f"map {self.shape.name}")

    def update(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many values in batches; TemporaryError if the map becomes full."""
        for batch in _batches(pairs, _BATCH):
            keys = b"".join(key for key, _ in batch)
            values = b"".join(value for _, value in batch)
            count = ctypes.c_uint32(len(batch))
            result = library().bpf_update_batch(self._descriptor, keys, values, ctypes.byref(count))
            _check(result, f"map {self.shape.name}")

    def get(self, key: bytes) -> bytes | None:
        """Return one value."""
        if library().bpf_lookup_elem(self._descriptor, key, self._value) < 0:
            return None
        return self._value.raw

    def __delitem__(self, key: bytes) -> None:
        """Remove one value; a missing one is not an error. TemporaryError for other errors."""
        if library().bpf_delete_elem(self._descriptor, key) < 0 and ctypes.get_errno() != errno.ENOENT:
            _check(-1, f"map {self.shape.name}")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys and values of a hash in batches; entries that change meanwhile may be missed or repeated."""
        return self._walk(library().bpf_lookup_batch)

    def take(self) -> Iterator[tuple[bytes, bytes]]:
        """Remove all entries of a hash in batches and yield them; what changes meanwhile may be missed."""
        return self._walk(library().bpf_lookup_and_delete_batch)

    def _walk(self, read_batch: Callable[..., int]) -> Iterator[tuple[bytes, bytes]]:
        shape, batch = self.shape, min(_BATCH, self.shape.max_entries)
        keys = ctypes.create_string_buffer(shape.key_bytes * batch)
        values = ctypes.create_string_buffer(shape.value_bytes * batch)
        token, count = ctypes.create_string_buffer(max(8, shape.key_bytes)), ctypes.c_uint32()
        first = True
        while True:
            count.value = batch
            result = read_batch(self._descriptor, None if first else token, token, keys, values, ctypes.byref(count))
            first = False
            for number in range(count.value if result == 0 or ctypes.get_errno() == errno.ENOENT else 0):
                key_at, value_at = number * shape.key_bytes, number * shape.value_bytes
                yield keys.raw[key_at : key_at + shape.key_bytes], values.raw[value_at : value_at + shape.value_bytes]
            if result < 0:
                return


class PerCpuArray:
    """A per-CPU array whose values are 64-bit counters."""

    def __init__(self, descriptor: int, shape: MapShape) -> None:
        """Use the descriptor, which the caller still owns."""
        self.shape = shape
        self._descriptor = descriptor
        self._width = shape.value_bytes // 8
        self._stride = self._width * processors()

    def read(self, spans: Iterable[range] | None = None) -> dict[int, tuple[int, ...]]:
        """Return the sums over all processors by index, without those that are all zero.

        Only these spans of the array are read: the kernel takes 2 ms for ten thousand counters of two processors.
        """
        found: dict[int, tuple[int, ...]] = {}
        for span in (range(self.shape.max_entries),) if spans is None else spans:
            found |= self._read(span)
        return found

    def _read(self, span: range) -> dict[int, tuple[int, ...]]:
        size = len(span)
        before = struct.pack("=I", span.start - 1) if span.start else None
        keys = ctypes.create_string_buffer(4 * size)
        values = (ctypes.c_uint64 * (self._stride * size))()
        token, count = ctypes.create_string_buffer(8), ctypes.c_uint32(size)
        result = library().bpf_lookup_batch(self._descriptor, before, token, keys, values, ctypes.byref(count))
        if result < 0 and ctypes.get_errno() != errno.ENOENT:
            _check(result, f"map {self.shape.name}")
        raw, width, entry_bytes = bytes(values), self._width, self._stride * 8
        found = {}
        for at in _filled(raw[: count.value * entry_bytes], entry_bytes):
            numbers = struct.unpack_from(f"={self._stride}Q", raw, at * entry_bytes)
            found[span.start + at] = tuple(sum(numbers[column::width]) for column in range(width))
        return found


def _filled(raw: bytes, entry_bytes: int) -> Iterator[int]:
    """Yield the indices of entries that are not all zero; sixty-four zero entries are skipped at once."""
    block_bytes = _BLOCK * entry_bytes
    empty_block, empty = bytes(block_bytes), bytes(entry_bytes)
    for block_at in range(0, len(raw), block_bytes):
        block = raw[block_at : block_at + block_bytes]
        if block != empty_block[: len(block)]:
            for at in range(0, len(block), entry_bytes):
                if block[at : at + entry_bytes] != empty:
                    yield (block_at + at) // entry_bytes


def attach_raw_tracepoint(program: int, name: str | None) -> int:
    """Attach a program to a raw tracepoint; without a name, to the one that it was loaded for.

    Closing the returned descriptor detaches it, as does the end of the process.
    """
    descriptor: int = library().bpf_attach_raw_tracepoint(program, name.encode() if name else None)
    if descriptor < 0:
        raise PermanentError(f"cannot attach to {name or 'the tracepoint'}: {os.strerror(ctypes.get_errno())}")
    return descriptor


def attach_tracepoint(program: int, subsystem: str, name: str) -> int:
    """Attach a program to a classic tracepoint, which requires tracefs; closing the descriptor detaches it."""
    descriptor: int = library().bpf_attach_tracepoint(program, subsystem.encode(), name.encode())
    if descriptor < 0:
        raise PermanentError(f"cannot attach to tracepoint {subsystem}:{name}: {os.strerror(ctypes.get_errno())}")
    return descriptor


def count_runs() -> int:
    """Enable run statistics of all programs until the returned descriptor is closed.

    TemporaryError if that is not permitted (it requires CAP_SYS_ADMIN). bpf(2): BPF_ENABLE_STATS, since 5.8.
    """
    try:
        return bpf(_ENABLE_STATS, b"")[0]
    except OSError as error:
        raise TemporaryError(f"run statistics: {error.strerror}") from None


def run_statistics(program: int) -> tuple[int, int]:
    """Return the run time of a program in nanoseconds and the number of runs, while `count_runs` was enabled."""
    info, size = ctypes.create_string_buffer(_INFO_BYTES), ctypes.c_uint32(_INFO_BYTES)
    _check(library().bpf_obj_get_info(program, info, ctypes.byref(size)), "run statistics")
    time_ns, runs = _RUN_TIME.unpack_from(info, _RUN_TIME_AT)
    return time_ns, runs
