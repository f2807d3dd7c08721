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
from monitor.model.aged_keys import AgedKeys
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow, FlowBatch
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from monitor.model.saved_rows import SavedRow, number_row, read_number

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
_MAX_SAVED_BYTES = 256
"""Of the name of a prefix; netfilter's have 127 at most."""
_SAVED_TO_S = 60.0
"""How exactly times are saved: each accepted packet would otherwise be a write to disk."""

_Key: TypeAlias = tuple[Address, int | None, int, Address, int | None]


class Prefix(msgspec.Struct, gc=False):
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


class _Line(msgspec.Struct, gc=False):
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
        self._last: tuple[str | None, Prefix] = None, Prefix()
        """The last one of them: most lines have the prefix of the line before."""
        self._waiting: AgedKeys[_Key, _Line] = AgedKeys()
        self._counted: AgedKeys[_Key, _Line] = AgedKeys()
        self._opened: AgedKeys[_Key, float] = AgedKeys()
        self._flows_s = float("-inf")
        self._needed_s = float("-inf")

    def mixed(self, now_s: float) -> list[str]:
        """Return the prefixes that mark accepted packets."""
        return [name for name, prefix in self.prefixes.items() if prefix.marks_accepted(now_s)]

    @property
    def is_waiting(self) -> bool:
        """Whether lines wait for connection tracking to be read."""
        return bool(self._waiting)

    def is_current(self, now_s: float) -> bool:
        """Whether connection tracking was read lately; lines that come otherwise cannot be checked."""
        return 0 <= now_s - self._flows_s <= _ALIVE_S

    def export(self, limit: int) -> list[SavedRow]:
        """Return the prefixes of which enough is known, for a restart; see `SavedWindow`."""
        rows = []
        for name, prefix in self.prefixes.items():
            is_mixed = prefix.accepted_s > 0
            key, accepted_s = name.encode(), prefix.accepted_s // _SAVED_TO_S * _SAVED_TO_S if is_mixed else 0.0
            if (is_mixed or prefix.dropped >= _ENOUGH_DROPS) and len(key) <= _MAX_SAVED_BYTES:
                rows.append(number_row(key, min(prefix.dropped, _ENOUGH_DROPS), accepted_s))
        return sorted(rows[-limit:] if limit else [])

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know the prefixes of an earlier run; if one marks other packets now, that shows as in this run."""
        for key, value, accepted_s in rows:
            name = key.decode(errors="replace")
            if len(key) <= _MAX_SAVED_BYTES and name not in self.prefixes:
                prefix = self._prefix(name)
                prefix.dropped = min(read_number(value), _ENOUGH_DROPS)
                prefix.accepted_s = min(accepted_s, now_s) if accepted_s > 0 else float("-inf")

    def admit(self, events: Iterable[PacketLogged], now_s: float) -> list[PacketLogged]:
        """Return the lines that count at once; others are returned by `release` later, or never."""
        is_checked = self.is_current(now_s)
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
        opened_s = self._opened.get(key)
        if opened_s is not None and opened_s >= now_s - _HORIZON_S:
            self._note_accepted(prefix, now_s)
            return False
        is_counted = prefix.marks_drops_only(now_s)
        if not is_counted:
            self._needed_s = now_s
        lines = self._counted if is_counted else self._waiting
        lines.pop(key)
        lines.young[key] = _Line(event, now_s)
        if len(lines) > _MAX_LINES:
            lines.pop_first(1)
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
                if (line := waiting.pop(key)) is not None:
                    self._note_accepted(self._prefix(line.event.prefix), now_s)
                elif (line := counted.pop(key)) is not None:
                    self._note_accepted(self._prefix(line.event.prefix), now_s)
                    yield line
                elif is_needed:
                    (known.old if key in known.old else known.young)[key] = now_s
        known.pop_first(max(0, len(known) - _MAX_OPENED))

    def release(self, now_s: float) -> list[PacketLogged]:
        """Return the lines that waited long enough: no connection was opened by their packets."""
        if not (self._waiting or self._counted or self._opened):
            return []
        flows_s = self._flows_s
        released = self._waiting.pop_while(
            lambda line: flows_s >= line.came_s + WAIT_S or not 0 <= now_s - line.came_s < _ALIVE_S
        )
        over = self._counted.pop_while(lambda line: not 0 <= now_s - line.came_s < _HORIZON_S)
        for line in (*released, *over):
            self._prefix(line.event.prefix).dropped += 1
        self._opened.pop_while(lambda opened_s: not 0 <= now_s - opened_s < _HORIZON_S)
        return [line.event for line in released]

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
        if name == self._last[0]:
            return self._last[1]
        prefix = self.prefixes.get(name)
        if prefix is not None:
            self.prefixes.move_to_end(name)
            self._last = name, prefix
            return prefix
        prefix = self.prefixes[name] = Prefix()
        if len(self.prefixes) > _MAX_PREFIXES:
            self.prefixes.popitem(last=False)
        self._last = name, prefix
        return prefix


def _key(event: PacketLogged) -> _Key:
    return event.source, event.source_port, event.protocol, event.destination, event.destination_port


def _keys(flow: Flow) -> tuple[_Key, ...]:
    """Return how a line can name the packet: before and after destination NAT."""
    source, source_port, protocol = flow.source, flow.source_port, flow.protocol
    to, port, real, real_port = (
        flow.destination,
        flow.destination_port,
        flow.real_destination,
        flow.real_destination_port,
    )
    if real == to and real_port == port:
        return ((source, source_port, protocol, to, port),)
    return (source, source_port, protocol, to, port), (source, source_port, protocol, real, real_port)
