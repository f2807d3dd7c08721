"""Attaches an XDP program to an interface while a descriptor is open (BPF_LINK_CREATE, since 5.9)."""

import errno
import fcntl
import socket
import struct

from monitor.ebpf.syscall import bpf
from monitor.model.errors import PermanentError, TemporaryError

_LINK_CREATE, _ATTACH_XDP = 28, 37  # linux/bpf.h
_MODES = {"native": 1 << 2, "generic": 1 << 1}  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, linux/if_link.h
"""Best first: in the driver, or after it, when the packet has an sk_buff already."""
_LINK = struct.Struct("=IIII")
_GET_ADDRESS, _ETHERNET = 0x8927, 1  # SIOCGIFHWADDR, linux/sockios.h; ARPHRD_ETHER, linux/if_arp.h
_REQUEST = struct.Struct("=16sH22s")  # struct ifreq: name, type of the link address
_SOMEBODY = frozenset((errno.EBUSY, errno.EEXIST))


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


def _is_ethernet(interface: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, _GET_ADDRESS, _REQUEST.pack(interface.encode(), 0, b""))
    return bool(_REQUEST.unpack(answer)[1] == _ETHERNET)
