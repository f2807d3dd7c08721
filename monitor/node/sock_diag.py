"""Asks the kernel for its sockets by sock_diag(7)."""

import socket
import struct
from collections.abc import Iterator

from monitor.node.netlink_messages import DONE, DUMP, ERROR, check_status, pack_request, split_messages

LISTENING, UNCONNECTED = 1 << 10, 1 << 7
"""Sets of states: bits numbered as in net/tcp_states.h."""
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _TCPDIAG_GETSOCK = 4, 20, 18
_SEQUENCE = 1  # no question is asked over a socket on which an answer was not read to its end
_DATAGRAM_BYTES = 1 << 16
_MAX_DATAGRAMS = 1024
_ENDLESS = "the answer of sock_diag does not end"
_REQUEST = struct.Struct("=BBBBI48x")
"""struct inet_diag_req_v2 (linux/inet_diag.h): family, protocol, extensions, padding, states, no socket."""
_OLD_REQUEST = struct.Struct("=BBBB48xII")
"""struct inet_diag_req: family (ignored), lengths of prefixes, extensions, no socket, states, no tables."""


def dump_sockets(family: int, protocol: int, states: int) -> Iterator[bytes]:
    """Yield the struct inet_diag_msg, with its attributes, of each socket of this network namespace in these states.

    OSError if the kernel does not answer, MalformedRecord if the answer is none. What was yielded before is valid.
    """
    with _open() as opened:
        opened.send(question(family, protocol, states))
        for _ in range(_MAX_DATAGRAMS):
            data, sender = opened.recvfrom(_DATAGRAM_BYTES)
            if sender[0] != 0:  # not the kernel
                continue
            for message in _messages(data):
                if message is None:
                    return
                yield message
    raise OSError(_ENDLESS)


class RepeatedDump:
    """Asks what `dump_sockets` asks, again and again: over a socket that stays open, and what is the same is not split.

    It asks about the network namespace of the thread that read first.
    """

    def __init__(self, asked: bytes, most: int) -> None:
        """Open nothing yet; at least `most` sockets are read, if there are as many, and a datagram more at most."""
        self._asked = asked
        self._most = most
        self._opened: socket.socket | None = None
        self._known: list[bytes] = []
        """The datagrams of the last answer, if that was read to its end."""

    def read(self) -> list[bytes] | None:
        """Return the messages; None if the kernel says the same as the last time. Errors as from `dump_sockets`."""
        try:
            if self._opened is None:
                self._opened = _open()
                self._opened.connect((0, 0))  # then only the kernel can send to it
            self._opened.send(self._asked)
            return self._answer(self._opened)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, and forget what was said."""
        opened, self._opened, self._known = self._opened, None, []
        if opened:
            opened.close()

    def _answer(self, opened: socket.socket) -> list[bytes] | None:
        datagrams: list[bytes] = []
        for known in self._known:
            datagrams.append(opened.recv(_DATAGRAM_BYTES))
            if datagrams[-1] != known:
                break
        else:
            if datagrams:
                return None  # the end is in the last one
        messages: list[bytes] = []
        for number in range(_MAX_DATAGRAMS):
            if number == len(datagrams):
                datagrams.append(opened.recv(_DATAGRAM_BYTES))
            for message in _messages(datagrams[number]):
                if message is None:
                    self._known = datagrams
                    return messages
                messages.append(message)
            if len(messages) >= self._most:
                self.close()  # with the rest of the answer
                return messages
        raise OSError(_ENDLESS)


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    opened.settimeout(0)  # the kernel writes its answer while it is asked, and while it is read
    return opened


def question_of_tcp(states: int) -> bytes:
    """Return the question for the TCP sockets of both families in these states.

    It is the older one, which ss(8) no longer asks; a kernel without it answers EINVAL.
    """
    return pack_request(_TCPDIAG_GETSOCK, DUMP, _SEQUENCE, _OLD_REQUEST.pack(0, 0, 0, 0, states, 0))


def question(family: int, protocol: int, states: int) -> bytes:
    """Return the question for the sockets of one family in these states."""
    return pack_request(_SOCK_DIAG_BY_FAMILY, DUMP, _SEQUENCE, _REQUEST.pack(family, protocol, 0, 0, states))


def _messages(data: bytes) -> Iterator[bytes | None]:
    """Yield the payloads of a datagram, and None at the end of the answer; OSError if that is an error."""
    for kind, sequence, start, end in split_messages(data):
        if sequence != _SEQUENCE:
            continue
        if kind in (DONE, ERROR):
            check_status(data[start:end])
            yield None
            return
        yield data[start:end]
