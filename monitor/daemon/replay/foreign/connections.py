"""Connections of a capture, as the kernel's connection tracking would report them. Pure, bounded.

It follows what net/netfilter/nf_conntrack_proto_tcp.c makes of packets as far as flows report it: a first packet opens,
the third one of a handshake completes it, RST refuses or ends it, silence ends it after the kernel's default times.
Sequence numbers are not checked: a capture shows both sides, and what an attacker guessed is the receiver's to refuse.
At most 65,536 connections are followed; beyond that the one heard of longest ago is forgotten, unfinished ones first.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from monitor.daemon.replay.foreign.file_report import IMPOSSIBLE, LATEST_S, FileReport
from monitor.daemon.replay.foreign.flow_batches import MAX_BACK_S, OUT_OF_ORDER
from monitor.daemon.replay.foreign.packets import Packet
from monitor.model.addresses import Address
from monitor.model.flows import Flow, FlowClosed, FlowEstablished, FlowOpened, FlowReset
from monitor.model.protocols import (
    ECHO_REQUESTS,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    STATUS_ASSURED,
    STATUS_SEEN_REPLY,
    TCP_ACK,
    TCP_CLOSE,
    TCP_ESTABLISHED,
    TCP_FIN,
    TCP_FIN_WAIT,
    TCP_RST,
    TCP_SYN,
    TCP_SYN_RECV,
    TCP_SYN_SENT,
)

STRAY = "of no connection that was open (scans by FIN, NULL or Xmas are such)"
MAX_CONNECTIONS = 65_536
_TIME_WAIT = 7
_TIMEOUTS_S = {
    TCP_SYN_SENT: 120.0,
    TCP_SYN_RECV: 60.0,
    TCP_ESTABLISHED: 432_000.0,
    TCP_FIN_WAIT: 120.0,
    _TIME_WAIT: 120.0,
    TCP_CLOSE: 10.0,
}
"""Of TCP by state (Documentation/networking/nf_conntrack-sysctl.rst)."""
_UNANSWERED_S, _ANSWERED_S = 30.0, 120.0
"""Of UDP; ping has the first only."""
_STREAM_S = 2.0
_EXPIRY_STEP_S = 1.0

_Key: TypeAlias = tuple[Address, Address, int, int, int]


class _Connection(msgspec.Struct, gc=False):
    key: _Key
    id: int
    opened_s: float
    last_s: float
    timeout_s: float
    state: int | None
    status: int = 0
    ends: int = 0
    """Which sides sent FIN: 1 the source, 2 the destination."""
    original_packets: int = 0
    original_bytes: int = 0
    reply_packets: int = 0
    reply_bytes: int = 0


class Connections:
    """Follows the connections of one capture."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS, *, first_id: int = 0) -> None:
        """Start without any; flows are numbered from after `first_id`."""
        self.evicted_total = 0
        """Connections that were forgotten, since too many were open."""
        self._max = max_connections
        self._open: dict[_Key, _Connection] = {}
        self._by_timeout: dict[float, OrderedDict[_Key, _Connection]] = {
            timeout_s: OrderedDict() for timeout_s in sorted({*_TIMEOUTS_S.values(), _UNANSWERED_S, _ANSWERED_S})
        }
        """By how long they may be silent, the one heard of longest ago first."""
        self._last_id = first_id
        self._expired_s = float("-inf")

    def __len__(self) -> int:
        """Return how many are followed."""
        return len(self._open)

    def follow(self, packets: Iterable[Packet], report: FileReport) -> Iterator[Flow]:
        """Yield what connection tracking would report of packets, in their order."""
        now_s = float("-inf")
        for packet in packets:
            if not 0.0 <= packet.time_s <= LATEST_S:
                report.leave_out(IMPOSSIBLE)
                continue
            if packet.time_s < now_s - MAX_BACK_S:
                report.note(OUT_OF_ORDER)
            now_s = packet.time_s = max(now_s, packet.time_s)
            if now_s >= self._expired_s + _EXPIRY_STEP_S:
                self._expired_s = now_s
                yield from self._expire(now_s)
            yield from self._take(packet, report)
        if self.evicted_total:
            report.note(f"{self.evicted_total:,} connections were forgotten: more than {self._max:,} were open at once")

    def _take(self, packet: Packet, report: FileReport) -> Iterator[Flow]:
        source, destination, protocol = packet.source, packet.destination, packet.protocol
        key = source, destination, protocol, packet.source_port, packet.destination_port
        reverse = destination, source, protocol, packet.destination_port, packet.source_port
        connection = None if packet.is_reply else self._open.get(key)
        is_reply = False
        if connection is None and (connection := self._open.get(reverse)) is not None:
            is_reply = True
        if protocol == PROTOCOL_TCP and connection is not None and _starts_anew(connection, packet, is_reply=is_reply):
            yield self._close(connection, packet.time_s)
            connection = None
        if connection is None:
            state = _first_state(packet)
            if packet.is_reply or (protocol == PROTOCOL_TCP and state is None):
                report.leave_out(STRAY)
                return
            connection = self._begin(key, packet.time_s, state)
            _count(connection, packet, is_reply=False)
            yield _flow(FlowOpened, connection, packet.time_s, has_counters=False)
            return
        _count(connection, packet, is_reply=is_reply)
        if protocol == PROTOCOL_TCP:
            yield from self._take_tcp(connection, packet, is_reply=is_reply)
        else:
            if is_reply:
                connection.status |= STATUS_SEEN_REPLY
            is_stream = protocol == PROTOCOL_UDP and bool(connection.status & STATUS_SEEN_REPLY)
            is_long = packet.time_s - connection.opened_s >= _STREAM_S
            self._touch(connection, packet.time_s, _ANSWERED_S if is_stream and is_long else _UNANSWERED_S)

    def _take_tcp(self, connection: _Connection, packet: Packet, *, is_reply: bool) -> Iterator[Flow]:
        flags, now_s = packet.tcp_flags, packet.time_s
        before = connection.state
        if flags & TCP_RST:
            if is_reply and before == TCP_SYN_SENT:
                yield self._close(connection, now_s)
                return
            if before in (TCP_SYN_SENT, TCP_CLOSE):
                return
            connection.state = TCP_CLOSE
            connection.status |= STATUS_SEEN_REPLY if is_reply else 0
            if connection.status & STATUS_SEEN_REPLY:
                yield _flow(FlowReset, connection, now_s)
        elif before == TCP_SYN_SENT and is_reply and flags & TCP_SYN and flags & TCP_ACK:
            connection.state = TCP_SYN_RECV
            connection.status |= STATUS_SEEN_REPLY
        elif before == TCP_SYN_RECV and not is_reply and flags & TCP_ACK and not flags & TCP_SYN:
            connection.state = TCP_FIN_WAIT if flags & TCP_FIN else TCP_ESTABLISHED
            connection.status |= STATUS_ASSURED
            connection.ends |= 1 if flags & TCP_FIN else 0
            yield _flow(FlowEstablished, connection, now_s)
        elif before in (TCP_ESTABLISHED, TCP_FIN_WAIT):
            yield from _take_data(connection, packet, is_reply=is_reply)
        self._touch(connection, now_s, _TIMEOUTS_S[connection.state or TCP_CLOSE])

    def _begin(self, key: _Key, now_s: float, state: int | None) -> _Connection:
        while len(self._open) >= self._max:
            queue = next(queue for queue in self._by_timeout.values() if queue)
            gone, _ = queue.popitem(last=False)
            del self._open[gone]
            self.evicted_total += 1
        self._last_id += 1
        timeout_s = _UNANSWERED_S if state is None else _TIMEOUTS_S[state]
        connection = self._open[key] = _Connection(key, self._last_id, now_s, now_s, timeout_s, state)
        self._by_timeout[timeout_s][key] = connection
        return connection

    def _touch(self, connection: _Connection, now_s: float, timeout_s: float) -> None:
        """Note that it was heard of, and how long it may be silent now."""
        del self._by_timeout[connection.timeout_s][connection.key]
        connection.last_s, connection.timeout_s = now_s, timeout_s
        self._by_timeout[timeout_s][connection.key] = connection

    def _close(self, connection: _Connection, now_s: float) -> Flow:
        del self._open[connection.key]
        del self._by_timeout[connection.timeout_s][connection.key]
        return _flow(FlowClosed, connection, now_s)

    def _expire(self, now_s: float) -> list[Flow]:
        """End what was silent for too long, each at its time."""
        ended = []
        for timeout_s, queue in self._by_timeout.items():
            while queue and (first := next(iter(queue.values()))).last_s + timeout_s <= now_s:
                ended.append(self._close(first, first.last_s + timeout_s))
        return sorted(ended, key=lambda flow: flow.time_s)


def _starts_anew(connection: _Connection, packet: Packet, *, is_reply: bool) -> bool:
    """Whether a first packet opens a connection in place of one that is over."""
    is_first = packet.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN
    return is_first and not is_reply and connection.state in (TCP_CLOSE, _TIME_WAIT)


def _first_state(packet: Packet) -> int | None:
    """Return the state that a first packet of TCP leads to; None for those that belong to no connection."""
    if packet.protocol != PROTOCOL_TCP:
        return None
    flags = packet.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)
    return {TCP_SYN: TCP_SYN_SENT, TCP_ACK: TCP_ESTABLISHED}.get(flags)


def _take_data(connection: _Connection, packet: Packet, *, is_reply: bool) -> Iterator[Flow]:
    """Follow the end of a connection: the first FIN is reported."""
    connection.status |= STATUS_SEEN_REPLY if is_reply else 0
    if not packet.tcp_flags & TCP_FIN:
        return
    is_first = not connection.ends
    connection.ends |= 2 if is_reply else 1
    connection.state = _TIME_WAIT if connection.ends == 3 else TCP_FIN_WAIT
    if is_first and connection.status & STATUS_SEEN_REPLY:
        yield _flow(FlowEstablished, connection, packet.time_s)


def _count(connection: _Connection, packet: Packet, *, is_reply: bool) -> None:
    if is_reply:
        connection.reply_packets += 1
        connection.reply_bytes += packet.size_bytes
    else:
        connection.original_packets += 1
        connection.original_bytes += packet.size_bytes


def _flow(kind: type[Flow], connection: _Connection, now_s: float, *, has_counters: bool = True) -> Flow:
    source, destination, protocol, source_port, destination_port = connection.key
    is_ping = protocol in ECHO_REQUESTS
    first_port = None if is_ping else source_port
    last_port = None if is_ping else destination_port
    return kind(
        now_s,
        None,
        source,
        destination,
        protocol,
        first_port,
        last_port,
        destination,
        source,
        last_port,
        first_port,
        connection.id,
        connection.status,
        connection.state,
        icmp_id=source_port if is_ping else None,
        icmp_type=ECHO_REQUESTS.get(protocol),
        icmp_code=0 if is_ping else None,
        original_packets=connection.original_packets if has_counters else None,
        original_bytes=connection.original_bytes if has_counters else None,
        reply_packets=connection.reply_packets if has_counters else None,
        reply_bytes=connection.reply_bytes if has_counters else None,
    )
