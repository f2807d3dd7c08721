"""Attaches an XDP program to an interface until it is detached or the process ends (BPF_LINK_CREATE, since 5.9)."""

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys

from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError, TemporaryError

_LINK_CREATE, _LINK_DETACH, _ATTACH_XDP = 28, 34, 37  # linux/bpf.h
_MODES = {"native": 1 << 2, "generic": 1 << 1}  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, linux/if_link.h
"""Best first: in the driver, or after it, when the packet has an sk_buff already."""
_LINK = struct.Struct("=IIII")
_LINK_END = struct.Struct("=I")
_GET_INFO, _GET_INFO_ATTRIBUTES = 15, struct.Struct("=IIQ")  # BPF_OBJ_GET_INFO_BY_FD: descriptor, length, address
_INFO_BYTES, _INDEX_AT = 64, 16  # struct bpf_link_info: xdp.ifindex, after three words and padding
_GET_ADDRESS, _ETHERNET = 0x8927, 1  # SIOCGIFHWADDR, linux/sockios.h; ARPHRD_ETHER, linux/if_arp.h
_REQUEST = struct.Struct("=16sH22s")  # struct ifreq: name, type of the link address
_Info = ctypes.c_char * _INFO_BYTES
_GET_INDEX, _INDEX = 0x8933, struct.Struct("=16si20x")  # SIOCGIFINDEX, linux/sockios.h; struct ifreq: name, index
_MAX_NAME_BYTES = 15
_SOMEBODY = frozenset((errno.EBUSY, errno.EEXIST))


class InterfaceIndexes:
    """Looks up interfaces by name, as if_nametoindex(3) does, over a socket that stays open.

    They are those of the network namespace of the thread that asked first.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._asking: socket.socket | None = None
        self._requests: dict[str, bytes] = {}

    def index_of(self, interface: str) -> int:
        """Return the index; OSError if there is no interface of this name."""
        request = self._requests.get(interface)
        if request is None:
            name = interface.encode()
            if not name or len(name) > _MAX_NAME_BYTES:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            request = self._requests[interface] = _INDEX.pack(name, 0)
        self._asking = self._asking or socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        return int(_INDEX.unpack(fcntl.ioctl(self._asking, _GET_INDEX, request))[1])

    def close(self) -> None:
        """Close the socket."""
        asking, self._asking = self._asking, None
        if asking:
            asking.close()


def attach_xdp(program: int, interface: str, index: int) -> tuple[int, str]:
    """Return the descriptor that keeps the program attached, and the attach mode: `native` or `generic`.

    Another XDP program on the interface stays, and TemporaryError reports it. PermanentError if the interface carries
    no Ethernet frames, or if kernel support or a privilege is missing.
    """
    if not _is_ethernet(interface):
        raise PermanentError(f"{interface} carries no Ethernet frames")
    refused = ""
    for mode, flags in _MODES.items():
        try:
            return bpf(_LINK_CREATE, _LINK.pack(program, index, _ATTACH_XDP, flags))[0], mode
        except OSError as error:
            if error.errno in _SOMEBODY:
                raise TemporaryError(
                    f"another XDP program is attached to {interface} and stays (`ip link show dev {interface}`)"
                ) from None
            refused = error.strerror or repr(error)
    raise PermanentError(f"XDP cannot be attached to {interface}: {refused} (it requires CAP_NET_ADMIN and Linux 5.9)")


def detach_xdp(link: int) -> None:
    """Detach the program of a link, and close its descriptor.

    Closing alone would leave it attached as long as there is a copy of the descriptor somewhere.
    """
    with contextlib.suppress(OSError):  # detached already, or its interface is gone
        bpf(_LINK_DETACH, _LINK_END.pack(link))
    with contextlib.suppress(OSError):  # Linux releases it whatever it answers, close(2)
        os.close(link)


def attached_index(link: int) -> int:
    """Return the index of the interface that a link's program is attached to; 0 if it is attached to none any more.

    The kernel detaches a program from an interface that is deleted, and so may root (`bpftool link detach`); the
    descriptor stays open. OSError if the kernel does not answer.
    """
    info = _Info()
    bpf(_GET_INFO, _GET_INFO_ATTRIBUTES.pack(link, _INFO_BYTES, ctypes.addressof(info)))
    return int.from_bytes(info.raw[_INDEX_AT : _INDEX_AT + 4], sys.byteorder)


def _is_ethernet(interface: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, _GET_ADDRESS, _REQUEST.pack(interface.encode(), 0, b""))
    return bool(_REQUEST.unpack(answer)[1] == _ETHERNET)
