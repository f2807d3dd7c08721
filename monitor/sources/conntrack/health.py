"""Health of the connection table, by ctnetlink: distributions leave out /proc/net/stat, which has the same figures."""

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
from monitor.sources.conntrack.socket import DATAGRAM_BYTES, GET_CPU_STATISTICS, GET_STATISTICS

NETSTAT, SNMP = Path("/proc/self/net/netstat"), Path("/proc/self/net/snmp")
_BODY = HEADER_BYTES + 4  # after struct nfgenmsg
_BUFFER_BYTES = 1 << 18
_ANSWER_S = 1.0
_MAX_DATAGRAMS = 1024
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


def read_health() -> TableHealth:
    """Ask the kernel about the table of this thread's network namespace; an error where it does not answer."""
    with conntrack_socket.open_socket(_BUFFER_BYTES) as opened:
        conntrack_socket.ask(opened, GET_STATISTICS, is_dump=False)
        sizes = dict(pair for message in _answers(opened, is_dump=False) for pair in numbers(message))
        conntrack_socket.ask(opened, GET_CPU_STATISTICS, is_dump=True)
        totals: dict[str, int] = {}
        for message in _answers(opened, is_dump=True):
            for kind, value in numbers(message):
                if name := COUNTERS.get(kind):
                    totals[name] = totals.get(name, 0) + value
    return TableHealth(sizes.get(_ENTRIES, 0), sizes.get(_LIMIT, 0), totals)


def read_listen_totals(netstat: Path = NETSTAT, snmp: Path = SNMP) -> ListenTotals | None:
    """Return what listeners of this namespace did since it started; None where the kernel does not say."""
    try:
        dropped, accepted = _totals(netstat, "TcpExt:"), _totals(snmp, "Tcp:")
        names = ("ListenOverflows", "ListenDrops", "SyncookiesSent")
        overflows, drops, cookies = (dropped.get(name, 0) for name in names)
        return ListenTotals(overflows, drops, cookies, accepted["PassiveOpens"])
    except (OSError, ValueError, KeyError):
        return None


def _totals(path: Path, label: str) -> dict[str, int]:
    """Read the two lines of a label: names, then values."""
    names, values = (line.split() for line in path.read_text().splitlines() if line.startswith(label))
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


def _answers(opened: socket.socket, *, is_dump: bool) -> Iterator[bytes]:
    """Yield the messages that answer the last question."""
    poll = select.poll()  # select() fails for descriptors above 1023
    poll.register(opened, select.POLLIN)
    for _ in range(_MAX_DATAGRAMS):
        if not poll.poll(_ANSWER_S * 1000):
            break
        datagram = opened.recv(DATAGRAM_BYTES)
        offset = 0
        while offset + HEADER_BYTES <= len(datagram):
            length, kind = _header(datagram, offset)
            if length < HEADER_BYTES or length > len(datagram) - offset:
                break
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise conntrack_socket.explained(-_errno(datagram, offset + HEADER_BYTES)[0])
            yield datagram[offset : offset + length]
            if not is_dump:
                return
            offset += length + 3 & ~3
    raise TemporaryError("conntrack leaves a question about its table unanswered")
