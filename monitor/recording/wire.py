"""Inputs as bytes: msgpack, with batches of events by column, so that equal values lie side by side.

Decoders are typed by kind of event: a batch becomes structs without a step in between. What is not an input of this
version raises msgspec.DecodeError (msgspec.ValidationError is one), never anything else.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from operator import attrgetter
from typing import Any, Union, get_type_hints

import msgspec

from monitor.model.events import Event
from monitor.model.flows import (
    Flow,
    FlowBatch,
    FlowClosed,
    FlowEstablished,
    FlowIncomplete,
    FlowListed,
    FlowOpened,
    FlowReset,
    ListenTotals,
    OutboundIncomplete,
)
from monitor.recording.inputs import INPUTS, KIND_OF, TYPE_OF, Events, Input, Skipped

MAX_EVENTS = 1_000_000
"""The most events of one batch: more is damage."""


class _Packed(msgspec.Struct, frozen=True, array_like=True, tag="events"):
    """A batch of events as it is stored."""

    time_s: float
    kind: str
    count: int
    columns: msgspec.Raw


def _fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


def _columns_of(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a struct with a list for each field of a struct."""
    hints: dict[str, Any] = get_type_hints(struct)
    columns = [(name, list.__class_getitem__(hints[name])) for name in _fields(struct)]
    return msgspec.defstruct(f"{struct.__name__}Columns", columns, array_like=True, frozen=True)


def _split(struct: type[msgspec.Struct], rows: Sequence[Any]) -> list[list[Any]]:
    """Return the columns of structs."""
    return [list(map(attrgetter(name), rows)) for name in _fields(struct)]


def _join(struct: Callable[..., Any], columns: Any, count: int) -> list[Any]:
    """Return the structs of columns, all of which must have one length."""
    lists = [getattr(columns, name) for name in _fields(type(columns))]
    if any(len(one) != count for one in lists):
        raise msgspec.DecodeError("the columns of a batch have different lengths")
    return list(map(struct, *lists))


_FLOWS: tuple[type[Flow], ...] = (Flow, FlowOpened, FlowEstablished, FlowClosed, FlowReset, FlowListed)
_FLOW_NUMBER = {flow: number for number, flow in enumerate(_FLOWS)}
_FlowColumns = _columns_of(Flow)
_ATTEMPTS: tuple[type[FlowIncomplete], ...] = (FlowIncomplete, OutboundIncomplete)
_ATTEMPT_NUMBER = {attempt: number for number, attempt in enumerate(_ATTEMPTS)}
_AttemptColumns = _columns_of(FlowIncomplete)


class _Flows(msgspec.Struct, frozen=True, array_like=True):
    """Flows by column; `types` are the numbers of their classes, one byte each."""

    types: bytes
    columns: _FlowColumns  # type: ignore[valid-type]


class _Attempts(msgspec.Struct, frozen=True, array_like=True):
    """Attempts by column; `types` are the numbers of their classes, one byte each."""

    types: bytes
    columns: _AttemptColumns  # type: ignore[valid-type]


_LISTS = ("opened", "completed", "late", "ending", "listed")


class _PackedFlows(msgspec.Struct, frozen=True, array_like=True):
    """A batch of flows; None for a list that is empty."""

    time_s: float
    has_gap: bool
    has_more: bool
    invalid_total: int | None
    listen_totals: ListenTotals | None
    attempts: int
    completions: int
    opened: _Flows | None
    completed: _Flows | None
    late: _Flows | None
    ending: _Flows | None
    listed: _Flows | None
    incomplete: _Attempts | None


_COLUMNS = {kind: _columns_of(event) for kind, event in TYPE_OF.items() if event is not FlowBatch}
_encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[str, Any] = {kind: msgspec.msgpack.Decoder(columns).decode for kind, columns in _COLUMNS.items()}
_decode_flows = msgspec.msgpack.Decoder(list[_PackedFlows]).decode
_STORED: Any = Union[(_Packed, *(one for one in INPUTS if one is not Events))]
_decode = msgspec.msgpack.Decoder(_STORED).decode


def encode(one: Input) -> bytes:
    """Return an input as bytes."""
    if not isinstance(one, Events):
        return _encode(one)
    kind = one.kind
    return _encode(_Packed(one.time_s, kind, len(one.events), msgspec.Raw(pack_events(one.events))))


def decode(data: bytes, wanted: Container[str] | None = None) -> Input | Skipped:
    """Return the input; a batch of a kind that is not `wanted` (None: all are) is not read. Raises DecodeError."""
    try:
        one = _decode(data)
        if not isinstance(one, _Packed):
            return one  # type: ignore[no-any-return]
        if wanted is not None and one.kind not in wanted:
            return Skipped(one.time_s, one.kind, one.count)
        return Events(one.time_s, unpack_events(one.kind, one.count, one.columns))
    except (RecursionError, UnicodeDecodeError) as error:  # which msgspec lets through
        raise msgspec.DecodeError(f"damaged: {error}") from error


def pack_events(events: Sequence[Any]) -> bytes:
    """Return a batch of events of one type by column."""
    struct: type[Event] = type(events[0])
    if struct is FlowBatch:
        return _encode([_pack_flows(batch) for batch in events])
    return _encode(_split(struct, events))


def unpack_events(kind: str, count: int, data: bytes | msgspec.Raw) -> list[Any]:
    """Return the events that `pack_events` made bytes of. Raises DecodeError, and what `decode` makes one of."""
    if not 0 < count <= MAX_EVENTS:
        raise msgspec.DecodeError(f"a batch of {count} events")
    if kind == KIND_OF[FlowBatch]:
        batches = [_unpack_flows(one) for one in _decode_flows(data)]
        if len(batches) != count:
            raise msgspec.DecodeError("another number of batches than it says")
        return batches
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise msgspec.DecodeError(f"events of an unknown kind: {kind[:40]!r}")
    return _join(TYPE_OF[kind], decoder(data), count)


def _pack_flows(batch: FlowBatch) -> _PackedFlows:
    lists: list[Any] = [_pack_rows(Flow, _FLOW_NUMBER, getattr(batch, name)) for name in _LISTS]
    lists.append(_pack_rows(FlowIncomplete, _ATTEMPT_NUMBER, batch.incomplete))
    return _PackedFlows(
        batch.time_s,
        batch.has_gap,
        batch.has_more,
        batch.invalid_total,
        batch.listen_totals,
        batch.attempts,
        batch.completions,
        *lists,
    )


def _pack_rows(struct: type[msgspec.Struct], numbers: dict[Any, int], rows: Sequence[Any]) -> Any:
    return [bytes(numbers[type(row)] for row in rows), _split(struct, rows)] if rows else None


def _unpack_flows(one: _PackedFlows) -> FlowBatch:
    lists = [_unpack_rows(_FLOWS, getattr(one, name)) for name in _LISTS]
    lists.append(_unpack_rows(_ATTEMPTS, one.incomplete))
    return FlowBatch(
        one.time_s,
        one.has_gap,
        one.has_more,
        one.invalid_total,
        one.listen_totals,
        one.attempts,
        one.completions,
        *lists,
    )


def _unpack_rows(structs: Sequence[type[Any]], packed: "_Flows | _Attempts | None") -> list[Any]:
    if packed is None:
        return []
    types = packed.types
    if types and max(types) >= len(structs):
        raise msgspec.DecodeError("flows of an unknown type")
    if types and types.count(types[0]) == len(types):
        return _join(structs[types[0]], packed.columns, len(types))
    return _join(_Chooser([structs[number] for number in types]), packed.columns, len(types))


class _Chooser:
    """Makes each row the struct that is its turn."""

    def __init__(self, structs: Iterable[type[Any]]) -> None:
        self._structs = iter(structs)

    def __call__(self, *values: Any) -> Any:
        return next(self._structs)(*values)
