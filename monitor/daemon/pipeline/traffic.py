"""Counts flows, packets and bytes by protocol and direction: what the dashboards show of ordinary traffic."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from monitor.daemon.pipeline.long_flows import MAX_FLOWS, NOTHING, Amount, LongFlows
from monitor.metrics.metric import Sample
from monitor.model.addresses import Address
from monitor.model.flows import Flow, FlowBatch, FlowClosed
from monitor.model.protocols import PROTOCOL_NAMES

_DIRECTIONS = {(False, True): "in", (True, False): "out", (True, True): "local", (False, False): "forwarded"}
_BACKWARDS = {"in": "out", "out": "in", "local": "local", "forwarded": "forwarded"}
_OTHER = "other"
_GROUP_BYTES = {4: 0xE0, 16: 0xFF}

_Kind: TypeAlias = tuple[int, bool, bool]
"""Protocol, whether the node itself began it, whether the node itself answers."""


class Traffic:
    """Totals since the start, of bytes if the kernel counts them (nf_conntrack_acct).

    A flow's bytes count when it ends, those of a long one also while it runs.
    """

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._opened: Counter[_Kind] = Counter()
        self._closed: Counter[_Kind] = Counter()
        self._packets: Counter[str] = Counter(dict.fromkeys(_BACKWARDS, 0))
        self._bytes: Counter[str] = Counter(dict.fromkeys(_BACKWARDS, 0))
        self._long = LongFlows()

    def count(self, batch: FlowBatch, own: frozenset[Address]) -> None:
        """Take in a batch; `own` are the node's addresses."""
        self._opened.update([_kind(flow, own) for flow in batch.opened])
        closed = [flow for flow in batch.ending if type(flow) is FlowClosed]
        self._closed.update([_kind(flow, own) for flow in closed])
        for flow in closed:
            if flow.original_bytes is not None:
                self._add(self._long.end(flow) or flow, _DIRECTIONS[_kind(flow, own)[1:]])

    def count_running(self, flows: Sequence[Flow], own: frozenset[Address], *, is_complete: bool) -> None:
        """Take in flows of a listing, with counters as of now; `is_complete`: it ends with these."""
        for flow in flows:
            if (amount := self._long.progress(flow)) != NOTHING:
                self._add(amount, _DIRECTIONS[_kind(flow, own)[1:]])
        if is_complete:
            self._long.finish()

    def _add(self, amount: Amount | Flow, direction: str) -> None:
        back = _BACKWARDS[direction]
        self._packets[direction] += amount.original_packets or 0
        self._bytes[direction] += amount.original_bytes or 0
        self._packets[back] += amount.reply_packets or 0
        self._bytes[back] += amount.reply_bytes or 0

    def notices(self) -> Iterator[str]:
        """Yield that some bytes are counted late."""
        if omitted := self._long.omitted:
            yield (
                f"bytes of {omitted} long flows are counted only when they end: {MAX_FLOWS} others are followed already"
            )

    def samples(self) -> Iterator[Sample]:
        """Yield the totals."""
        for event, kinds in (("opened", self._opened), ("closed", self._closed)):
            totals: Counter[tuple[str, str, str]] = Counter()
            for (protocol, *ends), count in kinds.items():
                totals[event, PROTOCOL_NAMES.get(protocol, _OTHER), _DIRECTIONS[ends[0], ends[1]]] += count
            for labels, total in totals.items():
                yield "nodewarden_flows_total", labels, total
        for direction in _BACKWARDS:
            yield "nodewarden_flow_packets_total", (direction,), self._packets[direction]
            yield "nodewarden_flow_bytes_total", (direction,), self._bytes[direction]


def _kind(flow: Flow, own: frozenset[Address]) -> _Kind:
    """Return what counts; what is sent to many is for the node, too."""
    to = flow.real_destination
    return flow.protocol, flow.source in own, to in own or to[0] >= _GROUP_BYTES[len(to)]
