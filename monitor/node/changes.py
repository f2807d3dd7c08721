"""Reports changes of node addresses, links and routes, by the notifications of rtnetlink(7)."""

import ctypes
import errno
import socket
import struct

# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE and RTNLGRP_NEXTHOP (32).
# Links are included because the kernel does not report IPv4 routes that vanish when a link goes down.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 31
_MAX_READS = 256

_NEWLINK, _NEWROUTE, _DELROUTE = 16, 24, 25
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# linux/filter.h: load a half word, a word, a byte at an absolute offset; jump if equal; return
_LOAD_HALF, _LOAD_WORD, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x20, 0x30, 0x15, 0x06
# nlmsghdr.nlmsg_type, rtmsg.rtm_dst_len, rtmsg.rtm_protocol, ifinfomsg.ifi_change
_TYPE_AT, _DST_LEN_AT, _ORIGIN_AT, _LINK_CHANGE_AT = 4, 16 + 1, 16 + 5, 16 + 12
_BOOT, _STATIC = 3, 4  # RTPROT_BOOT (`ip route add` without a protocol), RTPROT_STATIC


def _filter_program() -> bytes:
    """Return the classic BPF program that drops messages about routes of daemons and links without a flag change.

    A router may learn thousands of routes per second, which must not wake the daemon: of non-default routes only those
    count that an administrator or a script has set. Loads use network byte order but the header does not, so the types
    are swapped to match.
    """
    program = (
        (_LOAD_HALF, 0, 0, _TYPE_AT),
        (_IF_EQUAL, 3, 0, socket.htons(_NEWROUTE)),
        (_IF_EQUAL, 2, 0, socket.htons(_DELROUTE)),
        (_IF_EQUAL, 6, 0, socket.htons(_NEWLINK)),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_LOAD_BYTE, 0, 0, _DST_LEN_AT),
        (_IF_EQUAL, 5, 0, 0),
        (_LOAD_BYTE, 0, 0, _ORIGIN_AT),
        (_IF_EQUAL, 3, 0, _BOOT),
        (_IF_EQUAL, 2, 3, _STATIC),
        (_LOAD_WORD, 0, 0, _LINK_CHANGE_AT),
        (_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class NodeChanges:
    """A socket that becomes readable after a change; the caller must then read addresses and routes again."""

    def __init__(self) -> None:
        """Subscribe; needs no privilege. OSError if the kernel has no netlink, or no memory."""
        self.warning = ""
        """Always empty: it is notified of everything or fails."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)  # noqa: FBT003 - its only parameter
        program = _filter_program()
        buffer = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog, with the compiler's padding before the pointer
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
        )
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read all notifications; return whether there were any. Lost notifications (ENOBUFS) count as a change.

        OSError if the socket fails.
        """
        changed = False
        for _ in range(_MAX_READS):  # a storm of changes must not block the caller; the rest is read next time
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            changed = True
        return changed

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()
