"""The requirements of all eBPF programs: the system call, and bcc, which compiles them."""

import ctypes
import os
import struct

import msgspec

from monitor.ebpf.headers import system_headers
from monitor.ebpf.maps import library
from monitor.ebpf.messages import RAW_TRACEPOINT
from monitor.ebpf.syscall import bpf
from monitor.files.attempts import missing_module, why_not
from monitor.model.requirements import Privileges, Requirement, capability_repair

_MAP_CREATE, _PROG_LOAD, _ARRAY = 0, 5, 2  # linux/bpf.h
_RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit


class EbpfFindings(msgspec.Struct, frozen=True):
    """The reasons why something does not work; each is empty if it works."""

    bpf: str
    """Creating a map."""
    tracing: str
    """Loading a program that may read kernel memory."""
    compiler: str
    """bcc, its library and the headers that it needs."""

    def requirements(self, privileges: Privileges) -> list[Requirement]:
        """Return what a program requires."""
        return [
            Requirement("eBPF maps and programs", self.bpf, capability_repair("CAP_BPF", privileges)),
            Requirement(
                "eBPF programs that read kernel memory", self.tracing, capability_repair("CAP_PERFMON", privileges)
            ),
            Requirement("bcc, which compiles them", self.compiler, "apt-get install python3-bpfcc linux-libc-dev"),
        ]


def probe_ebpf() -> EbpfFindings:
    """Create a map, load a program that does nothing, and look for the compiler."""
    return EbpfFindings(
        bpf=why_not(_make_map),
        tracing=why_not(_load_tracing),
        compiler=missing_module("bcc") or why_not(library) or _missing_header(),
    )


def _make_map() -> None:
    os.close(bpf(_MAP_CREATE, struct.pack("=IIII", _ARRAY, 4, 4, 1))[0])


def _load_tracing() -> None:
    code, licence = ctypes.create_string_buffer(_RETURN_ZERO), ctypes.create_string_buffer(b"GPL")
    pointers = ctypes.addressof(code), ctypes.addressof(licence)
    os.close(bpf(_PROG_LOAD, struct.pack("=IIQQ", RAW_TRACEPOINT, len(_RETURN_ZERO) // 8, *pointers))[0])


def _missing_header() -> str:
    general, own = system_headers()
    needed = [general / "linux/types.h", own / "asm/types.h"]
    return next((f"{path} is missing" for path in needed if not path.exists()), "")
