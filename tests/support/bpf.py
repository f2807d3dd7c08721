"""Lists, runs and inspects the eBPF programs in the kernel, with bpf(2)."""

import contextlib
import ctypes
import os
import struct
from pathlib import Path

from monitor.ebpf.btf import Btf
from monitor.ebpf.maps import library
from monitor.ebpf.syscall import bpf

_NEXT_ID = struct.Struct("=II")
_GET_NEXT_ID, _GET_FD_BY_ID = 11, 13
_NAME_AT, _TAG_AT = 64, 8  # struct bpf_prog_info
_INFO_BYTES = 232


_TEST_RUN = 10
_TEST_RUN_ATTRIBUTES = struct.Struct("=IIIIQQII")  # of union bpf_attr, `test`: up to `duration`
_MAX_FRAME_BYTES = 2048


def run_once(program: int, frame: bytes, repeat: int = 1) -> tuple[int, int]:
    """Run an XDP program on a frame by BPF_PROG_TEST_RUN; return its verdict and the nanoseconds of one run."""
    data = ctypes.create_string_buffer(frame, len(frame))
    out = ctypes.create_string_buffer(_MAX_FRAME_BYTES)
    packed = _TEST_RUN_ATTRIBUTES.pack(
        program, 0, len(frame), _MAX_FRAME_BYTES, ctypes.addressof(data), ctypes.addressof(out), repeat, 0
    )
    values = _TEST_RUN_ATTRIBUTES.unpack_from(bpf(_TEST_RUN, packed)[1])
    return values[1], values[7]


def tag_of(program: int) -> bytes:
    """Return the kernel's digest of the instructions, for which all maps are the same."""
    info = (ctypes.c_char * _INFO_BYTES)()
    length = ctypes.c_uint32(_INFO_BYTES)
    if library().bpf_obj_get_info(program, info, ctypes.byref(length)) < 0:
        raise OSError(ctypes.get_errno(), "the information on a program")
    return info.raw[_TAG_AT : _TAG_AT + 8]


def programs(name: str) -> set[int]:
    """Return the IDs of the programs with this name."""
    found: set[int] = set()
    number = 0
    while True:
        try:
            number = _NEXT_ID.unpack_from(bpf(_GET_NEXT_ID, _NEXT_ID.pack(number, 0))[1])[1]
        except FileNotFoundError:
            return found
        try:
            descriptor, _ = bpf(_GET_FD_BY_ID, _NEXT_ID.pack(number, 0))
        except FileNotFoundError:  # it was unloaded meanwhile
            continue
        info, size = ctypes.create_string_buffer(_INFO_BYTES), ctypes.c_uint32(_INFO_BYTES)
        library().bpf_obj_get_info(descriptor, info, ctypes.byref(size))
        os.close(descriptor)
        if info.raw[_NAME_AT : _NAME_AT + 16].rstrip(b"\0") == name.encode():
            found.add(number)


def programs_of(pid: int, name: str) -> set[int]:
    """Return the IDs of the programs with this name that a process holds: other daemons may run on this machine."""
    held: set[int] = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            lines = (line.partition(":") for line in entry.read_text().splitlines())
            held |= {int(value) for key, _, value in lines if key == "prog_id"}
    return held & programs(name)


_BTF_FD_BY_ID = 19
_MAP_INFO_BYTES, _MAP_BTF_AT = 88, 64  # struct bpf_map_info: btf_id, type of keys, type of values
_BTF_INFO = struct.Struct("=QII16x")  # struct bpf_btf_info
_MAX_BTF_BYTES = 1 << 20


class ProgramTypes(Btf):
    """The complete types of a compiled program that its maps use."""

    def describe(self, type_id: int) -> tuple[str, int]:
        """Return the name and the size in bytes of a type without qualifiers and type definitions."""
        name_at, _, size_bytes = self._type(self._plain(type_id))
        return self._string(name_at), size_bytes

    def offsets(self, struct_name: str) -> dict[str, int]:
        """Return the offsets of the direct members of a structure in bytes, by name; empty for other types."""
        type_id = self.struct_id(struct_name)
        return {} if type_id is None else {name: bits // 8 for name, bits, _ in self._members(type_id) if name}


def map_types(descriptor: int) -> tuple[ProgramTypes, int, int]:
    """Return the types of the compiled program, and the type IDs of key and value of a map."""
    info, size = ctypes.create_string_buffer(_MAP_INFO_BYTES), ctypes.c_uint32(_MAP_INFO_BYTES)
    assert library().bpf_obj_get_info(descriptor, info, ctypes.byref(size)) == 0
    number, key, value = struct.unpack_from("=III", info, _MAP_BTF_AT)
    opened, _ = bpf(_BTF_FD_BY_ID, struct.pack("=I", number))
    data = ctypes.create_string_buffer(_MAX_BTF_BYTES)
    packed = _BTF_INFO.pack(ctypes.addressof(data), _MAX_BTF_BYTES, 0)
    about, size = ctypes.create_string_buffer(packed, len(packed)), ctypes.c_uint32(len(packed))
    assert library().bpf_obj_get_info(opened, about, ctypes.byref(size)) == 0
    os.close(opened)
    return ProgramTypes(data.raw[: _BTF_INFO.unpack_from(about)[1]]), key, value
