"""Asks the kernel for its sockets by sock_diag(7)."""

import socket
import struct
from collections.abc import Iterator

from monitor.node.netlink_messages import DONE, DUMP, ERROR, check_status, pack_request, split_messages

LISTENING, UNCONNECTED = 1 << 10, 1 << 7
"""Sets of states: bits numbered as in net/tcp_states.h."""
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_SEQUENCE = 1  # each question has a socket of its own
_DATAGRAM_BYTES = 1 << 16
_MAX_DATAGRAMS = 1024
_REQUEST = struct.Struct("=BBBBI48x")
"""struct inet_diag_req_v2 (linux/inet_diag.h): family, protocol, extensions, padding, states, no socket."""


def dump_sockets(family: int, protocol: int, states: int) -> Iterator[bytes]:
    """Yield the struct inet_diag_msg, with its attributes, of each socket of this network namespace in these states.

    OSError if the kernel does not answer, MalformedRecord if the answer is none. What was yielded before is valid.
    """
    request = pack_request(_SOCK_DIAG_BY_FAMILY, DUMP, _SEQUENCE, _REQUEST.pack(family, protocol, 0, 0, states))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as opened:
        opened.settimeout(0)  # the kernel writes its answer while it is asked, and while it is read
        opened.send(request)
        for _ in range(_MAX_DATAGRAMS):
            data, sender = opened.recvfrom(_DATAGRAM_BYTES)
            if sender[0] != 0:  # not the kernel
                continue
            for kind, sequence, start, end in split_messages(data):
                if sequence != _SEQUENCE:
                    continue
                if kind in (DONE, ERROR):
                    check_status(data[start:end])
                    return
                yield data[start:end]
    raise OSError("the answer of sock_diag does not end")
