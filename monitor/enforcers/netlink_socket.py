"""A netlink socket to nf_tables that never blocks: the kernel answers before send() returns."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence

from monitor.enforcers import netlink
from monitor.enforcers.netlink import NetlinkReply, NetlinkRequest
from monitor.model.errors import MalformedRecord, PermanentError, TemporaryError

_NETLINK_NETFILTER = 12  # linux/netlink.h
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10  # linux/socket.h, linux/netlink.h
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_BUFFER_BYTES = 4 << 20
_OVERHEAD_BYTES = 32
DATAGRAM_BYTES = 1 << 16  # the kernel fills at most 32 KiB a dump datagram
_TOO_MUCH = frozenset({errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM})

NEEDS_PRIVILEGE = (
    "changing nftables needs CAP_NET_ADMIN in this network namespace: run as root, or give the service "
    "AmbientCapabilities=CAP_NET_ADMIN"
)
NEEDS_KERNEL = (
    "this kernel lacks nf_tables for family inet: it needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET "
    "(modprobe nf_tables, if it is a module)"
)


class TooMuchAtOnce(TemporaryError):  # noqa: N818 - named after what the caller must change
    """The datagram or its replies exceed a buffer and the outcome is unknown: send less at once."""

    def __init__(self) -> None:
        super().__init__("nf_tables has no buffer space for this request, or its answer was lost; try again")


def open_socket() -> socket.socket:
    """Open and bind a non-blocking netfilter netlink socket, with buffers of 4 MB per direction if allowed.

    It belongs to the network namespace of the calling thread. Raises the same errors as `NetlinkSocket`.
    """
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    except OSError as error:
        raise _error_of(error.errno or 0) from error
    opened.settimeout(0)
    opened.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
    for forced, plain in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)
    opened.bind((0, 0))
    return opened


class NetlinkSocket:
    """One NETLINK_NETFILTER socket, opened immediately in the network namespace of the calling thread.

    PermanentError if kernel support or a privilege is missing, TemporaryError for errors that may pass.
    """

    def __init__(self) -> None:
        self._socket = open_socket()
        self._send_buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.send_limit_bytes = self._send_buffer_bytes // 2
        self.port: int = self._socket.getsockname()[0]
        """The netlink port ID of this socket (nlmsg_pid)."""
        self._sequence = 1
        self._buffer = bytearray(DATAGRAM_BYTES)

    def close(self) -> None:
        """Close the socket; further calls fail."""
        self._socket.close()

    def transact(self, requests: Sequence[NetlinkRequest]) -> dict[int, int]:
        """Execute all requests as one transaction, or none.

        Returns the errno of each failed request by its index; empty on success. TooMuchAtOnce if the transaction or
        its replies exceed a buffer.
        """
        first = self._reserve(len(requests) + 2)
        self._send(netlink.encode_batch(requests, first))
        failed: dict[int, int] = {}
        done = False
        for reply in self._drain():
            index = reply.sequence - first - 1
            if reply.type != netlink.NLMSG_ERROR or not -1 <= index < len(requests):
                continue
            code = netlink.decode_error(reply.body)
            if index == -1 and code:  # an error of the transaction itself is reported for its BEGIN
                raise TooMuchAtOnce if code in _TOO_MUCH else _error_of(code)
            if code in (errno.EPERM, errno.EOPNOTSUPP):
                raise _error_of(code)
            if code:
                failed[index] = code
            done = done or index == len(requests) - 1
        if not done and not failed:
            raise TooMuchAtOnce
        return failed

    def query(self, requests: Sequence[NetlinkRequest], *, refusals: bool = False) -> list[NetlinkReply | int]:
        """Send several requests in one datagram; return for each the reply, or the errno if it was refused.

        An errno of 0 means that the kernel accepted the request without a reply. `refusals`: a missing privilege or
        missing kernel support is an errno, too, not a PermanentError.
        """
        first = self._reserve(len(requests))
        acked = [NetlinkRequest(request.type, request.flags | netlink.NLM_F_ACK, request.body) for request in requests]
        self._send(netlink.encode(acked, first))
        answers: dict[int, NetlinkReply | int] = {}
        for reply in self._drain():
            code = netlink.decode_error(reply.body) if reply.type == netlink.NLMSG_ERROR else 0
            if code in (errno.EPERM, errno.EOPNOTSUPP) and not refusals:
                raise _error_of(code)
            if reply.type != netlink.NLMSG_ERROR:
                answers[reply.sequence - first] = reply
            else:  # an acknowledgement follows its reply
                answers.setdefault(reply.sequence - first, code)
        if any(index not in answers for index in range(len(requests))):
            raise TemporaryError("nf_tables did not answer a request; try again")
        return [answers[index] for index in range(len(requests))]

    def ask(self, requests: Sequence[NetlinkRequest]) -> list[NetlinkReply | int]:
        """Do as `query` does for requests that read one object each, which the kernel answers with one message.

        No acknowledgements are asked for, and reading ends with the last answer: less than half of the system calls.
        """
        first = self._reserve(len(requests))
        self._send(netlink.encode(requests, first))
        answers: dict[int, NetlinkReply | int] = {}
        for reply in self._drain():
            code = netlink.decode_error(reply.body) if reply.type == netlink.NLMSG_ERROR else 0
            if code in (errno.EPERM, errno.EOPNOTSUPP):
                raise _error_of(code)
            if 0 <= reply.sequence - first < len(requests):
                answers[reply.sequence - first] = code or reply
                if len(answers) == len(requests):
                    return [answers[index] for index in range(len(requests))]
        raise TemporaryError("nf_tables did not answer a request; try again")

    def dump(self, request: NetlinkRequest, *, must_be_exact: bool = True) -> Iterator[NetlinkReply]:
        """Read a listing. Errors are raised as TemporaryError with the errno in `__cause__`.

        A change of nf_tables meanwhile is such an error (EINTR), unless `must_be_exact` is false: then the listing may
        lack and repeat entries.
        After an error, or if the listing is not read to the end, the socket must be closed.
        """
        first = self._reserve(1)
        self._send(
            netlink.encode([NetlinkRequest(request.type, request.flags | netlink.NLM_F_DUMP, request.body)], first)
        )
        for reply in self._drain():
            if reply.sequence != first:
                continue
            if must_be_exact and reply.flags & netlink.NLM_F_DUMP_INTR:
                raise TemporaryError("the set changed while it was being read; try again") from OSError(errno.EINTR, "")
            if reply.type in (netlink.NLMSG_ERROR, netlink.NLMSG_DONE):
                if code := netlink.decode_error(reply.body):
                    raise _error_of(code)
                return
            yield reply
        raise TemporaryError("a listing from nf_tables ended early; try again")

    def _reserve(self, count: int) -> int:
        first = self._sequence if self._sequence + count < 1 << 32 else 1
        self._sequence = first + count
        return first

    def _send(self, datagram: bytes) -> None:
        if len(datagram) + _OVERHEAD_BYTES > self._send_buffer_bytes:
            self._enlarge(len(datagram) + _OVERHEAD_BYTES)
        try:
            self._socket.send(datagram)
        except OSError as error:
            if error.errno in _TOO_MUCH:
                raise TooMuchAtOnce from error
            raise _error_of(error.errno or 0) from error

    def _enlarge(self, needed_bytes: int) -> None:
        """Enlarge the send buffer, if allowed; nothing is allocated for it.

        The kernel refuses a datagram above its size less 32 bytes (netlink_sendmsg in net/netlink/af_netlink.c).
        """
        with contextlib.suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, needed_bytes)
            self._send_buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def _drain(self) -> Iterator[NetlinkReply]:
        """Yield all replies; if some were lost, raise TooMuchAtOnce after the rest was read."""
        lost = False
        while True:
            try:
                size, _, flags, sender = self._socket.recvmsg_into([self._buffer], 0, socket.MSG_TRUNC)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    lost = True
                    continue
                raise _error_of(error.errno or 0) from error
            if sender[0] != 0:  # any process may send to our port; port 0 is the kernel
                continue
            if flags & socket.MSG_TRUNC:
                raise MalformedRecord("netlink", f"a datagram of {size} bytes")
            yield from netlink.decode_replies(bytes(memoryview(self._buffer)[:size]))
        if lost:
            raise TooMuchAtOnce


def _error_of(code: int) -> PermanentError | TemporaryError:
    if code in (errno.EPERM, errno.EACCES):
        kind: type[PermanentError] | type[TemporaryError] = PermanentError
        error = kind(NEEDS_PRIVILEGE)
    elif code in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        error = PermanentError(NEEDS_KERNEL)
    else:
        error = TemporaryError(f"nf_tables: {os.strerror(code)}")
    error.__cause__ = OSError(code, os.strerror(code))
    return error
