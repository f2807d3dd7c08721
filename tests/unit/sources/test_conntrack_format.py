"""Where the fields of conntrack messages are, by the general walk."""

from typing import Any

import pytest

from monitor.model.errors import MalformedRecord
from monitor.model.flows import Flow, FlowClosed, FlowEstablished, FlowListed, FlowOpened
from monitor.model.protocols import STATUS_ASSURED, STATUS_DESTINATION_NAT, STATUS_SOURCE_NAT
from monitor.sources.conntrack.format import CAUSES, read, walk
from tests.support.conntrack import (
    DUMPS,
    NAMES,
    ORIGINAL,
    REPLY,
    attribute,
    direction,
    leaves,
    message,
    messages,
    nest,
    told,
)

UNSAID = {"time_s", "namespace", "status", "event_ns", "start_ns", "stop_ns", "icmp_id", "icmp_type", "icmp_code"}
CONNECTIONS = (b"\0\1", b"\2\1")  # type of IPCTNL_MSG_CT_NEW and _DELETE on a little-endian host


def flows_of(name: str) -> list[Flow]:
    found = (read(raw, walk(raw), 1.0, None) for raw in messages(name) if raw[4:6] in CONNECTIONS)
    return [flow for flow in found if flow is not None]


def read_one(raw: bytes) -> Flow | None:
    return read(raw, walk(raw), 5.0, 7)


def said_by(flow: Flow) -> dict[str, Any]:
    """Return all that conntrack(8) says, too."""
    names = set(Flow.__struct_fields__) - UNSAID
    return {
        "class": type(flow).__name__,
        **{name: getattr(flow, name) for name in names},
        "is_answered": flow.is_answered,
        "is_assured": bool(flow.status & STATUS_ASSURED),
    }


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DUMPS])
def test_events_are_what_conntrack_says(name: str) -> None:
    """Every recorded event has, field by field and in order, what `conntrack -E -o xml` said of it."""
    expected = told(name)
    assert len(expected) >= 2
    assert list(map(said_by, flows_of(name))) == expected


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_is_what_conntrack_lists(name: str) -> None:
    """Every entry of a recorded dump has, field by field, what `conntrack -L -o xml` said of it."""
    expected = {flow["id"]: flow for flow in told(name)}
    assert len(expected) >= 10
    assert {flow.id: said_by(flow) for flow in flows_of(name)} == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_conntrack_leaves_out(name: str) -> None:
    """ICMP's fields, status bits and times, which conntrack(8) does not print, are those of a plain walk."""
    checked = 0
    for raw in messages(name):
        if raw[4:6] not in CONNECTIONS or (flow := read_one(raw)) is None:
            continue
        payloads = {way: int.from_bytes(payload) for way, payload in leaves(raw).items()}
        assert flow.status == payloads[3,]
        assert flow.icmp_id == payloads.get((1, 2, 4), payloads.get((1, 2, 7)))
        assert flow.icmp_type == payloads.get((1, 2, 5), payloads.get((1, 2, 8)))
        assert flow.icmp_code == payloads.get((1, 2, 6), payloads.get((1, 2, 9)))
        assert (flow.start_ns, flow.stop_ns) == (payloads.get((20, 1)), payloads.get((20, 2)))
        assert flow.event_ns == payloads.get((27,))
        checked += 1
    assert checked


def test_both_ends_of_a_translated_flow() -> None:
    """Through a NodePort with masquerading, the client, the address it asked for and the real server are all kept."""
    opened = next(flow for flow in flows_of("dnat") if isinstance(flow, FlowOpened))
    assert (opened.source, opened.destination, opened.destination_port) == (b"\x0aX\0\2", b"\x0aX\0\1", 30080)
    assert (opened.real_destination, opened.real_destination_port) == (b"\x0aX\0\3", 8080)
    assert opened.translated_source == b"\x0aX\0\1"
    assert opened.status & (STATUS_SOURCE_NAT | STATUS_DESTINATION_NAT) == STATUS_SOURCE_NAT | STATUS_DESTINATION_NAT


def test_the_corpus_has_every_kind() -> None:
    """Recordings hold ICMP of both families, zones of both sorts, marks, counters and times, so none is untested."""
    flows = [flow for name in NAMES for flow in flows_of(name)]
    assert {flow.protocol for flow in flows} >= {1, 6, 17, 33, 47, 58, 132, 136, 253}
    assert {flow.icmp_type for flow in flows} == {None, 8, 128}
    assert {flow.zone for flow in flows} == {0, 7, 9}
    assert {flow.mark for flow in flows} >= {0, 0x1F00002A}
    assert all(any(getattr(flow, name) for flow in flows) for name in ("original_bytes", "reply_packets", "stop_ns"))
    assert {type(flow) for flow in flows} == {FlowOpened, FlowEstablished, FlowClosed, FlowListed}


def test_numbers_are_in_network_order() -> None:
    """Ports, mark, id, zone and counters are read big-endian; the caller's time and namespace are kept."""
    counters = nest(9, attribute(1, bytes(7) + b"\x02"), attribute(2, b"\x01" + bytes(7)))
    fields = attribute(12, b"\1\2\3\4"), attribute(8, b"\0\0\1\0"), attribute(18, b"\1\2"), counters
    flow = read_one(message(ORIGINAL + REPLY + b"".join(fields), kind=0x102, flags=0))
    assert isinstance(flow, FlowClosed)
    assert (flow.time_s, flow.namespace, flow.source_port, flow.destination_port) == (5.0, 7, 0x1234, 80)
    assert (flow.id, flow.mark, flow.zone) == (0x01020304, 256, 0x0102)
    assert (flow.original_packets, flow.original_bytes, flow.reply_packets) == (2, 1 << 56, None)


@pytest.mark.parametrize(
    ("state", "status", "is_event"),
    [(3, 0xE, True), (3, 0xA, True), (3, 0x8, False), (2, 0xE, False), (4, 0xA, True), (5, 0xE, False)],
)
def test_an_update_counts_when_the_handshake_is_complete(state: int, status: int, is_event: bool) -> None:
    """Only an answered TCP flow in state ESTABLISHED or FIN_WAIT makes an event of an update."""
    fields = attribute(3, status.to_bytes(4)) + nest(4, nest(1, attribute(1, bytes([state]))))
    flow = read_one(message(ORIGINAL + REPLY + fields, flags=0))
    assert isinstance(flow, FlowEstablished) if is_event else flow is None


def test_dccp_of_older_kernels() -> None:
    """DCCP has ports and a state where the kernel still tracks it, and its handshake completes in state OPEN."""
    ports = nest(2, attribute(1, b"\x21"), attribute(2, b"\x12\x34"), attribute(3, b"\0\x50"))
    tuples = direction(1, b"\xc0\0\2\1", b"\xc0\0\2\2", ports) + REPLY
    state = nest(4, nest(2, attribute(1, b"\4"), attribute(2, b"\0"), attribute(3, bytes(8))))
    flow = read_one(message(tuples + attribute(3, b"\0\0\0\x0e") + state, flags=0))
    assert isinstance(flow, FlowEstablished)
    assert (flow.protocol, flow.source_port, flow.state) == (33, 0x1234, 4)


def test_attributes_of_a_newer_kernel_are_skipped() -> None:
    """Unknown attributes, at the top and inside a tuple, change nothing, however they are made inside."""
    unknown = nest(99, attribute(1, b"abc")) + attribute(100, b"\xff" * 9) + attribute(101, b"")
    ports = nest(2, attribute(1, b"\x06"), attribute(2, b"\x12\x34"), attribute(77, b"x"), attribute(3, b"\0\x50"))
    extended = direction(1, b"\xc0\0\2\1", b"\xc0\0\2\2", ports, attribute(55, b"later"))
    assert read_one(message(unknown + extended + unknown + REPLY + unknown)) == read_one(message(ORIGINAL + REPLY))


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "header"),
        (message(b"")[:19], "header"),
        (message(ORIGINAL + REPLY) + b"\0", "header"),
        (message(ORIGINAL + REPLY, kind=0x200), "header"),
        (message(b""), "tuple"),
        (message(ORIGINAL), "tuple"),
        (message(ORIGINAL + direction(2, bytes(16), bytes(16))), "tuple"),
        (message(ORIGINAL + direction(2, b"", b"")), "length"),
        (message(ORIGINAL + REPLY + attribute(8, b"\1\2")), "length"),
        (message(ORIGINAL + REPLY + attribute(12, b"\1" * 8)), "length"),
        (message(ORIGINAL + REPLY + b"\3\0\x63\0"), "attribute"),
        (message(ORIGINAL + REPLY + b"\x09\0\x63\0"), "attribute"),
        (message(ORIGINAL + REPLY + nest(4, b"\xff\xff\1\0")), "attribute"),
    ],
)
def test_malformed(raw: bytes, cause: str) -> None:
    """What is truncated, too long, of a wrong length or without a whole pair of tuples is malformed, with its cause."""
    assert cause in CAUSES
    with pytest.raises(MalformedRecord) as caught:
        walk(raw)
    assert caught.value.cause == cause
