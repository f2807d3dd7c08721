"""Inputs as bytes: msgpack, with events as rows without names.

msgspec writes and reads rows at the speed of C; columns, which Python would have to make, cost five times as much. What
lies side by side in columns zstd finds in rows as well. Decoders are typed by kind of event: a batch becomes structs
without a step in between. What is not an input of this version raises msgspec.DecodeError (msgspec.ValidationError is
one), never anything else.

Ends of connections are half of all that connection tracking reports. Decisions need no more than which connections they
are, and the counters of UDP's; so only those flows are kept whole.
"""

from collections.abc import Container, Sequence
from functools import reduce
from operator import or_
from typing import Any, cast

import msgspec

from monitor.model.events import Event
from monitor.model.flows import AnyAttempt, AnyFlow, FlowBatch, FlowKey, ListenTotals
from monitor.model.protocols import PROTOCOL_UDP
from monitor.recording.inputs import INPUTS, KIND_OF, TYPE_OF, Events, Input, Skipped

MAX_EVENTS = 1_000_000
"""The most events of one batch: more is damage."""


class _Packed(msgspec.Struct, frozen=True, array_like=True, tag="events"):
    """A batch of events as it is stored."""

    time_s: float
    kind: str
    count: int
    rows: msgspec.Raw


class _StoredFlows(msgspec.Struct, array_like=True):
    """A FlowBatch as it is read: each flow is of the class that its tag names. The fields are those of FlowBatch."""

    time_s: float
    has_gap: bool
    has_more: bool
    invalid_total: int | None
    listen_totals: ListenTotals | None
    attempts: int
    completions: int
    opened: list[AnyFlow]
    completed: list[AnyFlow]
    late: list[AnyFlow]
    ending: list[AnyFlow]
    listed: list[AnyFlow]
    incomplete: list[AnyAttempt]
    ended: list[FlowKey]


_encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[str, Any] = {
    kind: msgspec.msgpack.Decoder(list[event]).decode  # type: ignore[valid-type]
    for kind, event in TYPE_OF.items()
    if event is not FlowBatch
}
_decode_flows = msgspec.msgpack.Decoder(list[_StoredFlows]).decode
_TYPES: tuple[Any, ...] = (_Packed, *(one for one in INPUTS if one is not Events))
_stored: Any = reduce(or_, _TYPES)
_decode = msgspec.msgpack.Decoder(_stored).decode


def encode(one: Input) -> bytes:
    """Return an input as bytes."""
    if not isinstance(one, Events):
        return _encode(one)
    return _encode(_Packed(one.time_s, one.kind, len(one.events), msgspec.Raw(pack_events(one.events))))


def decode(data: bytes | msgspec.Raw, wanted: Container[str] | None = None) -> Input | Skipped:
    """Return the input; a batch of a kind that is not `wanted` (None: all are) is not read. Raises DecodeError."""
    try:
        one = _decode(data)
        if not isinstance(one, _Packed):
            return one  # type: ignore[no-any-return]
        if wanted is not None and one.kind not in wanted:
            return Skipped(one.time_s, one.kind, one.count)
        return Events(one.time_s, unpack_events(one.kind, one.count, one.rows))
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(f"not an input: {error}") from error


def pack_events(events: Sequence[Event]) -> bytes:
    """Return a batch of events of one type as rows."""
    if type(events[0]) is FlowBatch:
        events = [kept(one) for one in cast("Sequence[FlowBatch]", events)]
    return _encode(events)


def kept(batch: FlowBatch) -> FlowBatch:
    """Return what a recording keeps of a batch."""
    if not batch.ending:
        return batch
    whole = [flow for flow in batch.ending if flow.protocol == PROTOCOL_UDP]
    return msgspec.structs.replace(batch, ending=whole, ended=batch.ended_keys())


def unpack_events(kind: str, count: int, data: bytes | msgspec.Raw) -> list[Any]:
    """Return the events that `pack_events` made bytes of. Raises DecodeError."""
    if not 0 < count <= MAX_EVENTS:
        raise msgspec.DecodeError(f"a batch of {count} events")
    events: list[Any]
    if kind == KIND_OF[FlowBatch]:
        events = [_flows(one) for one in _decode_flows(data)]
    else:
        decoder = _DECODERS.get(kind)
        if decoder is None:
            raise msgspec.DecodeError(f"events of an unknown kind: {kind[:40]!r}")
        events = decoder(data)
    if len(events) != count:
        raise msgspec.DecodeError("another number of events than it says")
    return events


def _flows(one: _StoredFlows) -> FlowBatch:
    return FlowBatch(*(getattr(one, name) for name in FlowBatch.__struct_fields__))
