"""Sends one frame as often as possible from an interface of this namespace.

`python -m bench.live_frames INTERFACE FRAME SECONDS`: FRAME in hex. Uses BPF_PROG_RUN with live frames (since 5.18):
the kernel creates the packets, about ten times as many as a raw socket can send. The peer of a veth must accept frames
in bulk: it needs an XDP program or `gro` enabled.
"""

import ctypes
import os
import socket
import struct
import sys
import time

from monitor.ebpf.headers import include_flags, kernel_source
from monitor.ebpf.syscall import bpf

_TEST_RUN, _LIVE_FRAMES = 10, 1 << 1  # linux/bpf.h
_RUN = struct.Struct("=IIIIQQIIIIQQIII")
"""The part `test` of union bpf_attr."""
_AT_ONCE, _BATCH = 1 << 16, 64
_PROGRAM = "int send(struct xdp_md *ctx) { return bpf_redirect(INTERFACE, 0); }"


def main(interface: str, frame: bytes, seconds: float) -> None:
    """Send for the given time."""
    os.environ["BCC_KERNEL_SOURCE"] = str(kernel_source())
    from bcc import BPF

    text = "#include <linux/bpf.h>\n" + _PROGRAM
    program = BPF(text=text, cflags=[*include_flags(), f"-DINTERFACE={socket.if_nametoindex(interface)}"])
    descriptor = program.load_func("send", BPF.XDP).fd
    data = ctypes.create_string_buffer(frame, len(frame))
    place = ctypes.addressof(data)
    packed = _RUN.pack(descriptor, 0, len(frame), 0, place, 0, _AT_ONCE, 0, 0, 0, 0, 0, _LIVE_FRAMES, 0, _BATCH)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        bpf(_TEST_RUN, packed)


if __name__ == "__main__":
    main(sys.argv[1], bytes.fromhex(sys.argv[2]), float(sys.argv[3]))
