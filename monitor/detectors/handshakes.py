"""Tells attempts from connections: which flows opened and completed no handshake. Pure; time is the events' own."""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from monitor.model.events import PROTOCOL_TCP
from monitor.model.flows import (
    PROTOCOL_SCTP,
    STATUS_ASSURED,
    TCP_SYN_SENT,
    Flow,
    FlowClosed,
    FlowEstablished,
    FlowIncomplete,
    FlowListed,
    FlowOpened,
)

_WAIT_S = 2.0
"""How long a handshake may take: a retransmitted SYN comes after one second (RFC 6298)."""
_MAX_PENDING = 65_536

_Key = tuple[int | None, int, int | None]
"""Namespace, the kernel's number of the entry and the source port, since numbers are used again."""


class HandshakeStats(msgspec.Struct):
    """What was counted; all are totals but `pending`."""

    completed: int = 0
    incomplete: int = 0
    evicted: int = 0
    """Attempts forgotten before their time, too many at once or beside a gap: what became of them nobody knows."""
    pending: int = 0
    """Attempts whose time is not up."""


class Handshakes:
    """Follows every attempt for two seconds; at most 65,536 at a time, of which the oldest is forgotten first."""

    def __init__(self) -> None:
        """Know none."""
        self.stats = HandshakeStats()
        self._pending: OrderedDict[_Key, Flow] = OrderedDict()

    def feed(self, flows: Iterable[Flow], now_s: float) -> list[FlowIncomplete]:
        """Take in flows in their order; return attempts that came to nothing, refused or not answered by `now_s`.

        Connections picked up in their middle tell nothing of a handshake; nor do UDP and ICMP, which have none. Entries
        of a list (FlowListed) that are still at their first packet count from then on.
        """
        pending = self._pending
        found: list[FlowIncomplete] = []
        for flow in flows:
            key = (flow.namespace, flow.id, flow.source_port)
            kind = type(flow)
            if kind is FlowOpened or kind is FlowListed:
                if _is_attempt(flow):
                    pending.setdefault(key, flow)
            elif kind is FlowEstablished:
                if pending.pop(key, None) is not None:
                    self.stats.completed += 1
            elif kind is FlowClosed and (begun := pending.pop(key, None)) is not None:
                if flow.status & STATUS_ASSURED:
                    self.stats.completed += 1
                else:
                    found.append(_incomplete(begun))
        found += self._expired(now_s)
        while len(pending) > _MAX_PENDING:
            pending.popitem(last=False)
            self.stats.evicted += 1
        self.stats.pending = len(pending)
        self.stats.incomplete += len(found)
        return found

    def forget(self) -> None:
        """Forget all attempts: events were lost, and who completed a handshake in them must not be blamed."""
        self.stats.evicted += len(self._pending)
        self.stats.pending = 0
        self._pending.clear()

    def _expired(self, now_s: float) -> Iterable[FlowIncomplete]:
        pending = self._pending
        while pending:
            key, begun = next(iter(pending.items()))
            if begun.time_s > now_s - _WAIT_S:
                return
            del pending[key]
            yield _incomplete(begun)


def _is_attempt(flow: Flow) -> bool:
    """Whether it begins with the first packet of a handshake."""
    if flow.protocol == PROTOCOL_TCP:
        return flow.state == TCP_SYN_SENT
    return flow.protocol == PROTOCOL_SCTP and type(flow) is FlowOpened


def _incomplete(begun: Flow) -> FlowIncomplete:
    return FlowIncomplete(
        begun.time_s, begun.source, begun.destination, begun.protocol, begun.destination_port, begun.namespace
    )
