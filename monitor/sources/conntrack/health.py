"""Health of the connection table, by ctnetlink: distributions leave out /proc/net/stat, which has the same figures."""

import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.model.errors import TemporaryError
from monitor.model.flows import ListenTotals
from monitor.sources.conntrack import socket as conntrack_socket
from monitor.sources.conntrack.format import HEADER_BYTES, NLMSG_DONE, NLMSG_ERROR
from monitor.sources.conntrack.socket import DATAGRAM_BYTES, GET_CPU_STATISTICS, GET_STATISTICS, request

NETSTAT, SNMP = Path("/proc/self/net/netstat"), Path("/proc/self/net/snmp")
_BODY = HEADER_BYTES + 4  # after struct nfgenmsg
_BUFFER_BYTES = 1 << 18
_ANSWER_S = 1.0
_MAX_DATAGRAMS = 1024
_MOST_BYTES = 1 << 16
_TCP = b"\nTcp:"
_UNANSWERED = "conntrack leaves a question about its table unanswered"
_QUESTIONS = request(GET_STATISTICS, is_dump=False) + request(GET_CPU_STATISTICS, is_dump=True)
"""How full the table is, and what happened to it: the answers come in this order, and the second one has an end."""
_ENTRIES, _LIMIT = 1, 2  # CTA_STATS_GLOBAL_*
COUNTERS = {
    4: "invalid",
    8: "insert",
    9: "insert_failed",
    10: "drop",
    11: "early_drop",
    12: "error",
    13: "search_restart",
    14: "clash_resolve",
    15: "chain_toolong",
}
"""CTA_STATS_* of one processor (linux/netfilter/nfnetlink_conntrack.h), by the kernel's own words."""

_header = struct.Struct("=IH").unpack_from
_attribute = struct.Struct("=HH").unpack_from
_number = struct.Struct(">I").unpack_from
_errno = struct.Struct("=i").unpack_from


class TableHealth(msgspec.Struct, frozen=True):
    """How full the table is, and what happened to it since the machine started (sums over processors, 32 bit each)."""

    entries: int
    limit: int
    """nf_conntrack_max: beyond it new connections are dropped."""
    totals: dict[str, int]
    """By the values of COUNTERS; those that the kernel does not report are missing."""


class HealthReader:
    """Asks about the table of the network namespace in which it asked first, over a socket that stays open."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._socket: socket.socket | None = None
        self._said: list[bytes] = []
        """The datagrams of the last answer."""
        self._health = TableHealth(0, 0, {})
        """What it says."""

    def read(self) -> TableHealth:
        """Ask the kernel; an error where it does not answer: then the next question goes over another socket.

        While it says the same, the same object is returned.
        """
        self._socket = self._socket or conntrack_socket.open_socket(_BUFFER_BYTES)
        try:
            conntrack_socket.send(self._socket, _QUESTIONS)
            return self._answer(self._socket)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, and forget what was said over it."""
        opened, self._socket, self._said = self._socket, None, []
        if opened:
            opened.close()

    def _answer(self, opened: socket.socket) -> TableHealth:
        said: list[bytes] = []
        for known in self._said:
            said.append(_receive(opened))
            if said[-1] != known:
                break
        else:
            if said:
                return self._health  # the end is in the last one
        sizes, totals = dict[int, int](), dict[str, int]()
        for kind, message in _messages(opened, said):
            if kind == GET_STATISTICS:
                sizes.update(numbers(message))
            else:
                for number, value in numbers(message):
                    if name := COUNTERS.get(number):
                        totals[name] = totals.get(name, 0) + value
        self._said, self._health = said, TableHealth(sizes.get(_ENTRIES, 0), sizes.get(_LIMIT, 0), totals)
        return self._health


class ListenReader:
    """Reads what listeners of a network namespace did; their files stay open.

    The kernel takes three times as long for what it says of listeners as for what it says of TCP. No listener does
    anything without a segment, so the former is read only when TCP's totals are others than before; and once more,
    since a segment may still be on its way when it has been counted.
    """

    def __init__(self, netstat: Path = NETSTAT, snmp: Path = SNMP) -> None:
        """Open nothing yet."""
        self._paths = snmp, netstat
        self._descriptors: list[int] = []
        self._tcp = b""
        self._is_settled = False
        """Whether the totals were read after the last segment was done with."""
        self._totals: ListenTotals | None = None

    def read(self) -> ListenTotals | None:
        """Return the totals since the namespace started; None where the kernel does not say."""
        try:
            for path in self._paths[len(self._descriptors) :]:
                self._descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            snmp, netstat = self._descriptors
            text = os.pread(snmp, _MOST_BYTES, 0)
            tcp = text[text.index(_TCP) : text.find(b"\n", text.rindex(_TCP) + 1)]
            is_same = tcp == self._tcp
            if not (is_same and self._is_settled):
                self._totals = _listen_totals(os.pread(netstat, _MOST_BYTES, 0).decode(), text.decode())
                self._tcp, self._is_settled = tcp, is_same
        except (OSError, ValueError, KeyError):
            self.close()
        return self._totals

    def close(self) -> None:
        """Close the files; what they said is forgotten."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._tcp, self._is_settled, self._totals = b"", False, None


def read_health() -> TableHealth:
    """Ask the kernel once about the table of this thread's network namespace; an error where it does not answer."""
    reader = HealthReader()
    try:
        return reader.read()
    finally:
        reader.close()


def _listen_totals(netstat: str, snmp: str) -> ListenTotals:
    dropped, accepted = _totals(netstat, "TcpExt:"), _totals(snmp, "Tcp:")
    overflows, drops, cookies = (dropped.get(name, 0) for name in ("ListenOverflows", "ListenDrops", "SyncookiesSent"))
    return ListenTotals(overflows, drops, cookies, accepted["PassiveOpens"])


def _totals(text: str, label: str) -> dict[str, int]:
    """Return what the two lines of a label say: names, then values."""
    names, values = (line.split() for line in text.splitlines() if line.startswith(label))
    return dict(zip(names[1:], map(int, values[1:]), strict=True))


def numbers(message: bytes) -> Iterator[tuple[int, int]]:
    """Yield type and value of each 32-bit attribute of a message; what does not fit ends it."""
    offset = _BODY
    while offset + 4 <= len(message):
        length, kind = _attribute(message, offset)
        if length < 4 or length > len(message) - offset:
            return
        if length == 8:
            yield kind & 0x3FFF, _number(message, offset + 4)[0]
        offset += length + 3 & ~3


def _messages(opened: socket.socket, datagrams: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield type and text of each message up to the end of the listing; append the datagrams that are still to come."""
    for turn in range(_MAX_DATAGRAMS):
        if turn == len(datagrams):
            datagrams.append(_receive(opened))
        datagram, offset = datagrams[turn], 0
        while offset + HEADER_BYTES <= len(datagram):
            length, kind = _header(datagram, offset)
            if length < HEADER_BYTES or length > len(datagram) - offset:
                break
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise conntrack_socket.explained(-_errno(datagram, offset + HEADER_BYTES)[0])
            yield kind, datagram[offset : offset + length]
            offset += length + 3 & ~3
    raise TemporaryError(_UNANSWERED)


def _receive(opened: socket.socket) -> bytes:
    """Return the next datagram: mostly the kernel has written it while it was asked."""
    try:
        return opened.recv(DATAGRAM_BYTES)
    except BlockingIOError:
        poll = select.poll()  # select() fails for descriptors above 1023
        poll.register(opened, select.POLLIN)
        if not poll.poll(_ANSWER_S * 1000):
            raise TemporaryError(_UNANSWERED) from None
        return opened.recv(DATAGRAM_BYTES)
