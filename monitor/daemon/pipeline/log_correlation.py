"""Checks logged packets against connection tracking: a packet that opened a connection was accepted.

Firewalls log accepted packets, too, and only their own prefixes say which. So the daemon learns it. The kernel reports
a connection once its first packet has passed the whole firewall. A line whose packet opened a connection is no
evidence; the outcome of the connection is. Lines of a prefix that is new, or that sometimes marks accepted packets,
wait until connection tracking has been read. Those of a prefix that only marks dropped packets count at once. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from monitor.model.addresses import Address
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow, FlowBatch
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP

WAIT_S = 0.05
"""How long a line waits at least; the kernel reports a connection within microseconds after it logged the packet."""
_ENOUGH_DROPS = 20
_MIXED_S = 3600.0
_HORIZON_S = 2.0
_ALIVE_S = 3.0
_ACTIVE_S = 60.0
_MAX_PREFIXES = 256
_MAX_LINES = 8192
_MAX_OPENED = 16_384

_Key: TypeAlias = tuple[Address, int | None, int, Address, int | None]


class Prefix(msgspec.Struct):
    """What lines of one log prefix turned out to mark."""

    dropped: int = 0
    """Lines without a connection since the last that had one."""
    accepted_s: float = float("-inf")

    def marks_accepted(self, now_s: float) -> bool:
        """Whether it marked an accepted packet within the last hour."""
        return 0 <= now_s - self.accepted_s < _MIXED_S

    def marks_drops_only(self, now_s: float) -> bool:
        """Whether it is known to mark dropped packets only."""
        return self.dropped >= _ENOUGH_DROPS and not self.marks_accepted(now_s)


class _Line(msgspec.Struct):
    event: PacketLogged
    came_s: float


class LogCorrelation:
    """Remembers 8,192 lines, 256 prefixes and, where lines are waiting to be judged, 16,384 connections."""

    def __init__(self) -> None:
        """Know no prefix."""
        self.accepted_total = 0
        """Lines that did not count because their packet opened a connection."""
        self.lost_total = 0
        """Lines that did not count because events of connection tracking were lost, or too many lines waited."""
        self.prefixes: OrderedDict[str, Prefix] = OrderedDict()
        self._waiting: OrderedDict[_Key, _Line] = OrderedDict()
        self._counted: OrderedDict[_Key, _Line] = OrderedDict()
        self._opened: OrderedDict[_Key, float] = OrderedDict()
        self._flows_s = float("-inf")
        self._needed_s = float("-inf")

    def mixed(self, now_s: float) -> list[str]:
        """Return the prefixes that mark accepted packets."""
        return [name for name, prefix in self.prefixes.items() if prefix.marks_accepted(now_s)]

    @property
    def is_waiting(self) -> bool:
        """Whether lines wait for connection tracking to be read."""
        return bool(self._waiting)

    def admit(self, events: Iterable[PacketLogged], now_s: float) -> list[PacketLogged]:
        """Return the lines that count at once; others are returned by `release` later, or never."""
        is_checked = 0 <= now_s - self._flows_s <= _ALIVE_S
        return [event for event in events if self._admit(event, now_s, is_checked=is_checked)]

    def _admit(self, event: PacketLogged, now_s: float, *, is_checked: bool) -> bool:
        if event.protocol not in (PROTOCOL_TCP, PROTOCOL_UDP) or event.destination_port is None:
            return True
        prefix = self._prefix(event.prefix)
        if not is_checked:
            is_evidence = not prefix.marks_accepted(now_s)
            self.lost_total += not is_evidence
            return is_evidence
        key = _key(event)
        if self._opened.get(key, float("-inf")) >= now_s - _HORIZON_S:
            self._note_accepted(prefix, now_s)
            return False
        is_counted = prefix.marks_drops_only(now_s)
        if not is_counted:
            self._needed_s = now_s
        lines = self._counted if is_counted else self._waiting
        lines.pop(key, None)
        lines[key] = _Line(event, now_s)
        if len(lines) > _MAX_LINES:
            lines.popitem(last=False)
            self.lost_total += not is_counted
        return is_counted

    def note(self, batch: FlowBatch) -> list[PacketLogged]:
        """Take in connections that opened; return lines that had counted although their packets were accepted."""
        now_s = batch.time_s
        if not batch.has_more:
            self._flows_s = now_s
        if batch.has_gap:
            self._lose()
            return []
        if not (self._waiting or self._counted) and now_s - self._needed_s > _ACTIVE_S:
            return []
        return [line.event for line in self._match(batch.opened, now_s)]

    def _match(self, opened: Sequence[Flow], now_s: float) -> Iterator[_Line]:
        """Sort out the lines of connections; yield those that had counted."""
        is_needed = 0 <= now_s - self._needed_s <= _ACTIVE_S
        waiting, counted, known = self._waiting, self._counted, self._opened
        for flow in opened:
            for key in _keys(flow):
                if (line := waiting.pop(key, None)) is not None:
                    self._note_accepted(self._prefix(line.event.prefix), now_s)
                elif (line := counted.pop(key, None)) is not None:
                    self._note_accepted(self._prefix(line.event.prefix), now_s)
                    yield line
                elif is_needed:
                    known[key] = now_s
        while len(known) > _MAX_OPENED:
            known.popitem(last=False)

    def release(self, now_s: float) -> list[PacketLogged]:
        """Return the lines that waited long enough: no connection was opened by their packets."""
        released = []
        while self._waiting:
            key, line = next(iter(self._waiting.items()))
            is_checked = self._flows_s >= line.came_s + WAIT_S or not 0 <= now_s - line.came_s < _ALIVE_S
            if not is_checked:
                break
            del self._waiting[key]
            self._prefix(line.event.prefix).dropped += 1
            released.append(line.event)
        while self._counted:
            key, line = next(iter(self._counted.items()))
            if 0 <= now_s - line.came_s < _HORIZON_S:
                break
            del self._counted[key]
            self._prefix(line.event.prefix).dropped += 1
        while self._opened and not 0 <= now_s - next(iter(self._opened.values())) < _HORIZON_S:
            self._opened.popitem(last=False)
        return released

    def _lose(self) -> None:
        """Forget what waits: its connections may be among the events that were lost."""
        self.lost_total += len(self._waiting)
        self._waiting.clear()
        self._counted.clear()
        self._opened.clear()

    def _note_accepted(self, prefix: Prefix, now_s: float) -> None:
        self.accepted_total += 1
        prefix.dropped = 0
        prefix.accepted_s = now_s

    def _prefix(self, name: str) -> Prefix:
        prefix = self.prefixes.pop(name, None) or Prefix()
        self.prefixes[name] = prefix
        if len(self.prefixes) > _MAX_PREFIXES:
            self.prefixes.popitem(last=False)
        return prefix


def _key(event: PacketLogged) -> _Key:
    return event.source, event.source_port, event.protocol, event.destination, event.destination_port


def _keys(flow: Flow) -> Iterator[_Key]:
    """Yield how a line can name the packet: before and after destination NAT."""
    yield flow.source, flow.source_port, flow.protocol, flow.destination, flow.destination_port
    if (flow.real_destination, flow.real_destination_port) != (flow.destination, flow.destination_port):
        yield flow.source, flow.source_port, flow.protocol, flow.real_destination, flow.real_destination_port
