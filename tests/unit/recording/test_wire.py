"""Inputs come back from bytes as they went in, and damaged bytes are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.flows import FlowBatch, FlowClosed, flow_key
from monitor.recording.flood import weight
from monitor.recording.inputs import INPUTS, KIND_OF, Events, Input, Skipped, Ticked
from monitor.recording.wire import MAX_EVENTS, decode, encode, kept, unpack_events
from tests.support.events import udp
from tests.support.flows import flow
from tests.support.inputs import batches, inputs


@given(inputs())
def test_every_input_comes_back(one: Input) -> None:
    """Whatever the type and the values, the input after decoding is the one before, types of flows included."""
    again = decode(encode(one))
    assert type(again) is type(one)
    if isinstance(one, Events) and isinstance(one.events[0], FlowBatch):
        one = Events(one.time_s, [kept(batch) for batch in one.events])
    assert again == one
    assert repr(again) == repr(one)


def test_of_ends_of_connections_the_keys_are_kept() -> None:
    """Ends of UDP are evidence and kept whole; of others, which connections they are. Recorded again, all stays so."""
    closed, asked = flow(FlowClosed, id=7), flow(FlowClosed, "192.0.2.9", 53, protocol=17, id=8, reply_bytes=9000)
    batch = FlowBatch(1000.0, ending=[closed, asked])
    (once,) = decode(encode(Events(1000.0, [batch]))).events  # type: ignore[union-attr]
    assert once.ending == [asked]
    assert once.ended == [flow_key(closed), flow_key(asked)]
    assert decode(encode(Events(1000.0, [once]))) == Events(1000.0, [once])
    assert weight(Events(1000.0, [once])) == weight(Events(1000.0, [batch])) == 2


@given(batches())
def test_a_kind_nobody_wants_is_not_decoded(one: Events) -> None:
    """Of a batch that nobody asked for, kind and count are told."""
    assert decode(encode(one), wanted=()) == Skipped(one.time_s, one.kind, len(one.events))


@given(inputs(), st.data())
def test_damage_is_refused_or_another_input(one: Input, data: st.DataObject) -> None:
    """A changed byte or a cut leads to DecodeError or to an input, never to another error."""
    whole = encode(one)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(changed), whole[:place]):
        try:
            again = decode(damaged)
        except msgspec.DecodeError:
            continue
        assert isinstance(again, (*INPUTS, Skipped))


def test_a_batch_that_claims_too_much_is_refused() -> None:
    """A count that does not fit the columns, or is beyond any batch, is damage."""
    data = msgspec.msgpack.encode([[]] * 16)
    for count in (0, 1, MAX_EVENTS + 1):
        with pytest.raises(msgspec.DecodeError):
            unpack_events("packet_logged", count, data)


def test_an_unknown_kind_is_named() -> None:
    """Events of another version are refused by name."""
    with pytest.raises(msgspec.DecodeError, match="'port_knocked'"):
        unpack_events("port_knocked", 1, b"\x90")


def test_a_tick_costs_few_bytes() -> None:
    """One each second must not fill a recording."""
    assert len(encode(Ticked(1_700_000_000.123))) < 20


def test_a_batch_has_the_kind_of_its_events() -> None:
    """All events of a batch are of one type."""
    event = udp("192.0.2.1", 53)
    assert Events(1.0, [event]).kind == KIND_OF[type(event)]
