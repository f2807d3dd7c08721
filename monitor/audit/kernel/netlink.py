"""The few calls of nfnetlink that the audit needs; node/netlink_messages.py and enforcers/nftables have theirs."""

import errno
import socket
import struct
import sys
from collections.abc import Iterator

NFT = 10  # NFNL_SUBSYS_NFTABLES
_NETFILTER = 12  # NETLINK_NETFILTER
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_TYPE_MASK = 0x3FFF
_RECEIVE_BYTES = 1 << 16
_TIMEOUT_S = 5.0
_SO_RCVBUFFORCE = 33


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes by type; what is malformed ends them."""
    found = {}
    at, size = 0, len(data)
    while size - at >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or length > size - at:
            break
        found[kind & _TYPE_MASK] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def text(raw: bytes) -> str:
    """Return a string attribute."""
    return raw.rstrip(b"\0").decode(errors="replace")


class Netlink:
    """A socket of nfnetlink in the network namespace of the calling thread."""

    def __init__(self, *, groups: int = 0, buffer_bytes: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        if buffer_bytes:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            except OSError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.settimeout(0 if groups else _TIMEOUT_S)
        self._socket.bind((0, groups))

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """Yield type and payload of the messages that have come; type 0: some were lost."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield 0, b""
                continue
            yield from _split(data)

    def dump(self, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Ask for a dump, and yield type and payload of its messages; OSError if the kernel refuses."""
        self._socket.send(_HEADER.pack(16 + len(body), kind, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            for found, payload in _split(self._socket.recv(_RECEIVE_BYTES)):
                if found == _DONE:
                    return
                if found == _ERROR:
                    number = -int.from_bytes(payload[:4], sys.byteorder, signed=True)
                    raise OSError(number, "the kernel refuses")
                yield found, payload

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while len(data) - at >= 16:
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < 16 or length > len(data) - at:
            return
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3
