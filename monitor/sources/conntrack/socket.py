"""ctnetlink: sockets, requests and the filter by which the kernel sends only what is used."""

import ctypes
import errno
import socket
import struct

from monitor.model.errors import PermanentError, TemporaryError
from monitor.model.protocols import ESTABLISHED_STATES, PROTOCOL_DCCP, PROTOCOL_SCTP, PROTOCOL_TCP, TCP_CLOSE
from monitor.sources.conntrack.format import DELETE

_NETLINK_NETFILTER, _SOL_NETLINK = 12, 270  # linux/netlink.h, linux/socket.h
_ADD_MEMBERSHIP, _LISTEN_ALL_NSID = 1, 8  # NETLINK_*
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 33, 26  # asm-generic/socket.h
_GROUPS = 1, 2, 3  # NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_CREATE = 0x1, 0x300, 0x400
DATAGRAM_BYTES = 1 << 16

GET, GET_CPU_STATISTICS, GET_STATISTICS = 0x101, 0x104, 0x105  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET*

_LD_H_ABS, _LD_B_IND, _LDX_IMM, _TAX, _LD_IMM = 0x28, 0x50, 0x01, 0x07, 0x00  # linux/filter.h
_LD_W_ABS, _JEQ, _JSET, _RET = 0x20, 0x15, 0x45, 0x06
_NLATTR, _NLATTR_NEST = -0x1000 + 12, -0x1000 + 16  # SKF_AD_OFF + SKF_AD_*: look for an attribute
_PROTOINFO = 4  # CTA_PROTOINFO
_NEST_OF_TCP = 1
_NESTS = {
    _NEST_OF_TCP: PROTOCOL_TCP,
    2: PROTOCOL_DCCP,
    3: PROTOCOL_SCTP,
}  # CTA_PROTOINFO_TCP, _DCCP, _SCTP: with the state
_ALL = 0xFFFFFFFF

NEEDS_PRIVILEGE = (
    "reading conntrack events needs CAP_NET_ADMIN in this network namespace: run as root, or give the service "
    "AmbientCapabilities=CAP_NET_ADMIN"
)
NEEDS_KERNEL = "this kernel does not report connections: it needs nf_conntrack_netlink (modprobe nf_conntrack_netlink)"


def open_socket(buffer_bytes: int) -> socket.socket:
    """Open a socket of this thread's network namespace that never blocks, with this receive buffer where allowed.

    PermanentError where the kernel lacks it.
    """
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    except OSError as error:
        raise PermanentError(f"{NEEDS_KERNEL} ({error.strerror})") from error
    opened.setblocking(False)  # noqa: FBT003 - the only way to say it
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    opened.bind((0, 0))
    return opened


def listen(opened: socket.socket, *, all_namespaces: bool) -> None:
    """Subscribe to all changes of connections that `wanted` lets pass; PermanentError without the privilege."""
    attach_filter(opened)
    try:
        for group in _GROUPS:
            opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        if all_namespaces:
            opened.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
    except PermissionError as error:
        raise PermanentError(NEEDS_PRIVILEGE) from error


def attach_filter(opened: socket.socket) -> None:
    """Have the kernel drop, before anything is copied, updates that show neither handshake nor reset."""
    code = wanted()
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))  # struct sock_fprog
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def wanted() -> bytes:
    """Return the filter, as classic BPF: new and closed flows, updates to an established state or to TCP_CLOSE."""
    program: list[tuple[int, int, int, int]] = [
        (_LD_H_ABS, 0, 0, 4),
        (_JEQ, 0, 1, _swapped(DELETE)),
        (_RET, 0, 0, _ALL),
        (_LD_H_ABS, 0, 0, 6),
        (_JSET, 0, 1, _swapped(_NLM_F_CREATE)),
        (_RET, 0, 0, _ALL),
    ]
    wanted_states = [(nest, state) for nest, protocol in _NESTS.items() for state in ESTABLISHED_STATES[protocol]]
    wanted_states.append((_NEST_OF_TCP, TCP_CLOSE))
    for nest, state in wanted_states:
        program += [
            (_LD_IMM, 0, 0, 20),
            (_LDX_IMM, 0, 0, _PROTOINFO),
            (_LD_W_ABS, 0, 0, _NLATTR),
            (_JEQ, 7, 0, 0),  # none: on to the next protocol
            (_LDX_IMM, 0, 0, nest),
            (_LD_W_ABS, 0, 0, _NLATTR_NEST),
            (_JEQ, 4, 0, 0),
            (_TAX, 0, 0, 0),
            (_LD_B_IND, 0, 0, 8),  # behind the headers of the nest and of the state, which comes first in it
            (_JEQ, 0, 1, state),
            (_RET, 0, 0, _ALL),
        ]
    program.append((_RET, 0, 0, 0))
    return b"".join(struct.pack("=HBBI", code, yes, no, value & _ALL) for code, yes, no, value in program)


def request(kind: int, *, is_dump: bool) -> bytes:
    """Return a question to ctnetlink, about all families."""
    flags = _NLM_F_REQUEST | (_NLM_F_DUMP if is_dump else 0)
    return struct.pack("=IHHIIBBH", 20, kind, flags, 1, 0, 0, 0, 0)


def ask(opened: socket.socket, kind: int, *, is_dump: bool) -> None:
    """Send a question; TemporaryError if it cannot be sent."""
    send(opened, request(kind, is_dump=is_dump))


def send(opened: socket.socket, questions: bytes) -> None:
    """Send questions in one datagram; TemporaryError if they cannot be sent."""
    try:
        opened.send(questions)
    except OSError as error:
        raise TemporaryError(f"conntrack cannot be asked: {error.strerror}") from error


def explained(code: int) -> PermanentError | TemporaryError:
    """Return the error for an errno that the kernel answered with."""
    if code in (errno.EPERM, errno.EACCES):
        return PermanentError(NEEDS_PRIVILEGE)
    if code in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
        return PermanentError(NEEDS_KERNEL)
    return TemporaryError(f"conntrack answered with {errno.errorcode.get(code, code)}")


def _swapped(value: int) -> int:
    """Return what a half word of the host's order looks like to BPF, which reads network order."""
    return int.from_bytes(struct.pack("=H", value), "big")
