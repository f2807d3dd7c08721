"""The decoder of conntrack datagrams by fixed offsets: always what the general walk says."""

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.errors import MalformedRecord
from monitor.model.flows import FlowListed, FlowOpened
from monitor.sources.conntrack import fast_decoder as conntrack_fast
from monitor.sources.conntrack.fast_decoder import Decoded, FlowDecoder, compile_layout
from monitor.sources.conntrack.format import DELETE, NEW, read, walk
from tests.support.conntrack import ORIGINAL, REPLY, all_messages, attribute, message, messages

MESSAGES = all_messages()
CONNECTIONS = [raw for raw in MESSAGES if struct.unpack_from("=H", raw, 4)[0] in (NEW, DELETE)]
ONE = message(ORIGINAL + REPLY)


def walked(raw: bytes) -> Decoded:
    """Decode one whole message about a connection by the walk alone."""
    try:
        event = read(raw, walk(raw), 1.0, None)
    except MalformedRecord:
        return Decoded([], malformed=1)
    return Decoded([], skipped=1) if event is None else Decoded([event])


def control(kind: int, *words: int, flags: int = 0) -> bytes:
    return struct.pack(f"=IHHII{len(words)}i", 16 + 4 * len(words), kind, flags, 0, 0, *words)


def test_what_was_seen_once_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once every layout of the corpus was seen, the walk is not needed, and the events are the same."""
    decoder = FlowDecoder()
    first = decoder.decode(CONNECTIONS, 1.0)
    monkeypatch.setattr(conntrack_fast, "walk", None)
    assert decoder.decode(CONNECTIONS, 1.0) == first
    assert len(first.events) > 100
    assert first.malformed == 0
    assert first.events == [event for raw in CONNECTIONS for event in walked(raw).events]


def test_time_and_namespace_are_the_callers() -> None:
    """Both go into every event, by the walk and by the layout."""
    events = FlowDecoder().decode([ONE, ONE], 3.5, 12).events
    assert [(event.time_s, event.namespace) for event in events] == [(3.5, 12)] * 2


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a recorded message, mostly changed: bits, its end, or a part of another one in its middle."""
    raw = draw(st.sampled_from(CONNECTIONS))
    how = draw(st.sampled_from(["bits", "bits", "headers", "cut", "splice", "as it is"]))
    if how == "bits":
        changed = bytearray(raw)
        for bit in draw(st.lists(st.integers(0, len(raw) * 8 - 1), min_size=1, max_size=4)):
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)
    if how == "headers":
        offset, _ = draw(st.sampled_from(walk(raw).headers))
        return raw[:offset] + draw(st.binary(min_size=4, max_size=4)) + raw[offset + 4 :]
    if how == "cut":
        return sized(raw[: draw(st.integers(8, len(raw)))], draw(st.booleans()))
    if how == "splice":
        other, places = draw(st.sampled_from(CONNECTIONS)), st.integers(20, len(raw))
        return sized(raw[: draw(places) & ~3] + other[draw(places) & ~3 :], draw(st.booleans()))
    return raw


def sized(raw: bytes, is_right: bool) -> bytes:
    """Write the length into a header, or leave it wrong."""
    return struct.pack("=I", len(raw)) + raw[4:] if is_right else raw


@settings(max_examples=1500, deadline=None)
@given(st.lists(mutated(), min_size=1, max_size=6))
def test_fast_is_always_what_the_walk_says(raws: list[bytes]) -> None:
    """Whatever was seen before, mutated messages decode to exactly what the walk makes of them, and nothing raises."""
    decoder = FlowDecoder()
    decoder.decode(CONNECTIONS[::3], 1.0)
    for raw in (*raws, *raws):
        decoded = decoder.decode([raw], 1.0)
        if len(raw) >= 16 and struct.unpack_from("=IH", raw) in ((len(raw), NEW), (len(raw), DELETE)):
            expected = walked(raw)
            expected.is_interrupted = bool(raw[6] & 0x10)
            assert decoded == expected
        else:
            assert decoded == FlowDecoder().decode([raw], 1.0)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """No bytes raise anything, and none but whole messages make an event."""
    for decoder in (FlowDecoder(), trained()):
        assert decoder.decode([raw, raw], 1.0).events == []


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CONNECTIONS), st.data())
def test_a_layout_is_all_that_the_walk_decides_by(raw: bytes, data: st.DataObject) -> None:
    """A message takes another's layout exactly if the walk looks at the same bytes and finds them the same."""
    other = data.draw(mutated().filter(lambda m: len(m) == len(raw)) if data.draw(st.booleans()) else st.just(raw))
    at = data.draw(st.integers(0, len(other) - 1))
    other = other[:at] + data.draw(st.binary(min_size=1, max_size=1)) + other[at + 1 :]
    _, mask, pattern, *_ = compile_layout(raw, walk(raw))
    if int.from_bytes(other, "little") & mask == pattern:
        assert walk(other) == walk(raw)
    else:
        assert any(raw[o : o + n] != other[o : o + n] for o, n in walk(raw).headers)


def test_many_messages_in_a_datagram() -> None:
    """A dump's datagram gives an event for each of its messages, and its end is told."""
    dump = messages("dump")
    decoded = FlowDecoder().decode([b"".join(dump)], 1.0)
    assert len(decoded.events) == len(dump) - 1 >= 10
    assert all(isinstance(event, FlowListed) for event in decoded.events)
    assert (decoded.is_done, decoded.is_interrupted, decoded.errno, decoded.malformed) == (True, False, 0, 0)


@pytest.mark.parametrize("rest", [b"\0", bytes(16), b"\x0f" + bytes(15), ONE[:-4], b"\xff" * 40])
def test_a_damaged_rest_costs_only_itself(rest: bytes) -> None:
    """What precedes a wrong length in a datagram is kept; the rest of it counts as one malformed message."""
    for decoder in (FlowDecoder(), trained()):
        decoded = decoder.decode([ONE + ONE + rest, ONE], 1.0)
        assert [type(event) for event in decoded.events] == [FlowOpened] * 3
        assert decoded.malformed == 1


def remembered(decoder: FlowDecoder) -> int:
    return sum(map(len, decoder._layouts.values()))


def trained() -> FlowDecoder:
    decoder = FlowDecoder()
    decoder.decode([ONE], 1.0)
    return decoder


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (control(3, 0), Decoded([], is_done=True)),
        (control(3, -errno.EINTR), Decoded([], is_done=True, errno=errno.EINTR)),
        (control(2, -errno.EPERM), Decoded([], errno=errno.EPERM)),
        (control(2, 0), Decoded([])),
        (control(2), Decoded([], malformed=1)),
        (control(2, -(2**31)), Decoded([], errno=2**31)),
        (control(4, 0), Decoded([], is_overrun=True)),
        (control(0x200, 0), Decoded([], skipped=1)),
        (control(0xA0C, 0), Decoded([], skipped=1)),
        (b"", Decoded([], malformed=1)),
        (bytes(15), Decoded([], malformed=1)),
        (bytes(16), Decoded([], malformed=1)),
    ],
)
def test_what_is_no_connection(raw: bytes, expected: Decoded) -> None:
    """The kernel's ends, errors and overruns are told, other subsystems skipped, and what is too short is malformed."""
    assert FlowDecoder().decode([raw], 1.0) == expected


def test_an_interrupted_dump_says_so_each_time() -> None:
    """NLM_F_DUMP_INTR on a message is told however often it comes, and its entry is kept."""
    decoder = trained()
    raw = message(ORIGINAL + REPLY, flags=0x12)
    for _ in range(3):
        decoded = decoder.decode([raw], 1.0)
        assert decoded.is_interrupted
        assert [type(event) for event in decoded.events] == [FlowListed]


def test_layouts_are_bounded() -> None:
    """A thousand layouts do not add up: what is too much is forgotten, and events stay right."""
    decoder = FlowDecoder()
    raws = [message(ORIGINAL + REPLY + attribute(1000 + n, bytes(n % 60 * 4))) for n in range(1000)]
    expected = walked(ONE).events * len(raws)
    for _ in range(2):
        assert decoder.decode(raws, 1.0).events == expected
        assert 0 < remembered(decoder) <= 256


def test_a_long_message_is_not_remembered() -> None:
    """A message longer than any the kernel writes is decoded, and leaves no layout behind."""
    decoder = FlowDecoder()
    raw = message(ORIGINAL + REPLY + attribute(1000, bytes(5000)))
    assert decoder.decode([raw, raw], 1.0).events == walked(ONE).events * 2
    assert remembered(decoder) == 0
