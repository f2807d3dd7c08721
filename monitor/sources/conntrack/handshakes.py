"""Separates connection attempts from connections, by what flows mean. Pure; the time is that of the events."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from monitor.model.flows import (
    Flow,
    FlowBatch,
    FlowClosed,
    FlowEstablished,
    FlowIncomplete,
    FlowKey,
    FlowListed,
    FlowOpened,
    FlowReset,
    flow_key,
)
from monitor.model.protocols import (
    PROTOCOL_SCTP,
    PROTOCOL_TCP,
    STATUS_ASSURED,
    STATUS_SEEN_REPLY,
    TCP_FIN_WAIT,
    TCP_SYN_SENT,
)

_WAIT_S = 2.0
"""How long a handshake may take: a retransmitted SYN comes after one second (RFC 6298)."""
_MAX_PENDING = 32_768


class HandshakeStats(msgspec.Struct):
    """What was counted; all are totals but `pending`."""

    completed: int = 0
    incomplete: int = 0
    evicted: int = 0
    """Attempts forgotten early, because there were too many or events were lost: their outcome is not known."""
    pending: int = 0
    """Attempts that may still complete."""


class Handshakes:
    """Follows every attempt for two seconds; at most 32,768 at a time, of which the oldest is forgotten first."""

    def __init__(self) -> None:
        """Start without attempts."""
        self.stats = HandshakeStats()
        self._pending: OrderedDict[FlowKey, Flow] = OrderedDict()
        self._given_up: OrderedDict[FlowKey, None] = OrderedDict()
        """Attempts that were given up, and may still complete."""

    def feed(self, flows: Iterable[Flow], now_s: float, *, has_gap: bool = False) -> FlowBatch:
        """Take flows in their order; return what they mean, and the attempts that stayed incomplete until `now_s`.

        Connections picked up in their middle show no handshake, and UDP and ICMP have none. Entries of a list
        (FlowListed) that are still at their first packet count as attempts from then on. `has_gap`: events were lost,
        so attempts are forgotten: a source whose handshake was among the lost events must not be blamed.
        """
        batch = FlowBatch(now_s, has_gap=has_gap)
        if has_gap:
            self._forget()
            self._sort(flows, batch)
            self._forget()
            return batch
        self._sort(flows, batch)
        batch.incomplete.extend(self._expired(now_s))
        while len(self._pending) > _MAX_PENDING:
            self._give_up(self._pending.popitem(last=False)[0])
            self.stats.evicted += 1
        self.stats.pending = len(self._pending)
        self.stats.completed += len(batch.completed)
        self.stats.incomplete += len(batch.incomplete)
        return batch

    def _sort(self, flows: Iterable[Flow], batch: FlowBatch) -> None:
        pending = self._pending
        for flow in flows:
            kind = type(flow)
            if kind is FlowOpened:
                batch.opened.append(flow)
                if _is_attempt(flow):
                    batch.attempts += 1
                    pending.setdefault(flow_key(flow), flow)
            elif kind is FlowEstablished:
                key = flow_key(flow)
                if pending.pop(key, None) is not None:
                    batch.completed.append(flow)
                elif key in self._given_up:
                    del self._given_up[key]
                    batch.late.append(flow)
                if flow.protocol == PROTOCOL_TCP and flow.state == TCP_FIN_WAIT:
                    batch.ending.append(flow)
                    batch.ended.append(key)
                else:
                    batch.completions += 1
            elif kind is FlowListed:
                self._list(flow, batch)
            else:
                self._end(flow, batch)

    def _list(self, flow: Flow, batch: FlowBatch) -> None:
        """Sort an entry of the table."""
        if _is_attempt(flow):
            self._pending.setdefault(flow_key(flow), flow)
        elif flow.is_established:
            batch.listed.append(flow)

    def _end(self, flow: Flow, batch: FlowBatch) -> None:
        """Sort an end; if it is that of an attempt, judge it by that."""
        key = flow_key(flow)
        batch.ending.append(flow)
        batch.ended.append(key)
        if (attempt := self._pending.pop(key, None)) is None:
            return
        if flow.status & STATUS_ASSURED:
            batch.completed.append(flow)
        elif not batch.has_gap:
            was_answered = type(flow) is FlowReset or bool(flow.status & STATUS_SEEN_REPLY)
            was_refused = type(flow) is FlowClosed and not was_answered
            batch.incomplete.append(_incomplete(attempt, was_refused=was_refused, was_answered=was_answered))

    def _give_up(self, key: FlowKey) -> None:
        self._given_up[key] = None
        if len(self._given_up) > _MAX_PENDING:
            self._given_up.popitem(last=False)

    def _forget(self) -> None:
        self.stats.evicted += len(self._pending)
        self.stats.pending = 0
        self._pending.clear()

    def _expired(self, now_s: float) -> Iterator[FlowIncomplete]:
        pending = self._pending
        while pending:
            key, attempt = next(iter(pending.items()))
            if attempt.time_s > now_s - _WAIT_S:
                return
            del pending[key]
            self._give_up(key)
            yield _incomplete(attempt, was_refused=False)


def _is_attempt(flow: Flow) -> bool:
    """Whether it starts with the first packet of a handshake."""
    if flow.protocol == PROTOCOL_TCP:
        return flow.state == TCP_SYN_SENT
    return flow.protocol == PROTOCOL_SCTP and type(flow) is FlowOpened


def _incomplete(attempt: Flow, *, was_refused: bool, was_answered: bool = False) -> FlowIncomplete:
    real = attempt.real_destination, attempt.real_destination_port
    is_redirected = real != (attempt.destination, attempt.destination_port)
    return FlowIncomplete(
        attempt.time_s,
        attempt.source,
        attempt.destination,
        attempt.protocol,
        attempt.destination_port,
        attempt.namespace,
        was_refused,
        was_answered,
        real[0] if is_redirected else None,
        real[1] if is_redirected else None,
        attempt.translated_source if attempt.translated_source != attempt.source else None,
    )
