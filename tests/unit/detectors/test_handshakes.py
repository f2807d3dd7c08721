"""Which attempts came to nothing: told once each, whatever the order and however many there are."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowClosed, FlowEstablished, FlowIncomplete, FlowListed, FlowOpened, FlowReset
from monitor.model.protocols import (
    PROTOCOL_SCTP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    STATUS_ASSURED,
    STATUS_SEEN_REPLY,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT,
    TCP_SYN_SENT,
)
from monitor.sources.conntrack import handshakes
from monitor.sources.conntrack.handshakes import Handshakes

SOURCE, NODE = parse_address("198.51.100.7"), parse_address("192.0.2.1")


def flow(kind: type[Flow], number: int = 1, time_s: float = 100.0, **more: object) -> Flow:
    """Make a flow of TCP to port 22; its first packet was a SYN."""
    fields = {"protocol": PROTOCOL_TCP, "state": TCP_SYN_SENT, **more}
    return kind(
        time_s=time_s,
        namespace=None,
        source=SOURCE,
        destination=NODE,
        source_port=40_000,
        destination_port=22,
        real_destination=NODE,
        translated_source=SOURCE,
        real_destination_port=22,
        translated_source_port=40_000,
        id=number,
        **fields,  # type: ignore[arg-type]
    )


def incomplete(
    known: Handshakes, flows: Iterable[Flow], now_s: float, *, has_gap: bool = False
) -> list[FlowIncomplete]:
    """Feed, and return only what came to nothing."""
    return known.feed(flows, now_s, has_gap=has_gap).incomplete


def test_a_completed_handshake_is_no_probe() -> None:
    """Opened and established within two seconds: nothing is told, not even when it closes."""
    known = Handshakes()
    assert incomplete(known, [flow(FlowOpened), flow(FlowEstablished, time_s=101.0)], 101.0) == []
    assert incomplete(known, [flow(FlowClosed, time_s=200.0, status=STATUS_ASSURED)], 200.0) == []
    assert (known.stats.completed, known.stats.pending) == (1, 0)


def test_an_unanswered_attempt_is_told_after_two_seconds() -> None:
    """Not before, and once; its time is that of the first packet."""
    known = Handshakes()
    assert incomplete(known, [flow(FlowOpened)], 101.9) == []
    (told,) = incomplete(known, [], 102.0)
    assert (told.time_s, told.source, told.destination_port) == (100.0, SOURCE, 22)
    assert incomplete(known, [flow(FlowClosed, time_s=220.0)], 220.0) == []


def test_a_refused_attempt_is_told_at_once() -> None:
    """It closed and was never established; one that was, though its update was lost, is none."""
    known = Handshakes()
    assert len(incomplete(known, [flow(FlowOpened), flow(FlowClosed)], 100.0)) == 1
    assert incomplete(known, [flow(FlowOpened), flow(FlowClosed, status=STATUS_ASSURED)], 100.0) == []


def test_what_has_no_handshake_tells_nothing() -> None:
    """UDP, connections picked up in their middle, entries listed from the table; SCTP has one."""
    known = Handshakes()
    others = [
        flow(FlowOpened, 1, protocol=PROTOCOL_UDP, state=None),
        flow(FlowOpened, 2, state=TCP_ESTABLISHED),
        flow(FlowListed, 3, state=TCP_ESTABLISHED),
        flow(FlowEstablished, 4),
        flow(FlowClosed, 5),
    ]
    assert incomplete(known, others, 300.0) == []
    assert len(incomplete(known, [flow(FlowOpened, 6, protocol=PROTOCOL_SCTP)], 300.0)) == 1


def test_a_list_makes_up_for_what_was_lost() -> None:
    """An entry still at its first packet counts from then on, unless it is known; one that completes is none."""
    known = Handshakes()
    listed = [flow(FlowOpened, 1), flow(FlowListed, 1, 101.0), flow(FlowListed, 2, 101.0), flow(FlowListed, 3, 101.0)]
    assert len(incomplete(known, listed, 102.5)) == 1
    (told,) = incomplete(known, [flow(FlowEstablished, 3, 102.6)], 103.5)
    assert told.time_s == 101.0


def test_beside_a_gap_nobody_is_blamed() -> None:
    """What was pending is forgotten and counted."""
    known = Handshakes()
    incomplete(known, [flow(FlowOpened)], 100.0)
    assert incomplete(known, [], 100.0, has_gap=True) == []
    assert incomplete(known, [flow(FlowClosed)], 200.0) == []
    assert (known.stats.evicted, known.stats.pending) == (1, 0)


def test_a_flood_is_bounded() -> None:
    """More attempts than are followed: the oldest are forgotten, counted, and never blamed."""
    known = Handshakes()
    limit = handshakes._MAX_PENDING
    assert incomplete(known, (flow(FlowOpened, number) for number in range(limit + 10)), 100.0) == []
    assert (known.stats.pending, known.stats.evicted) == (limit, 10)
    assert len(incomplete(known, [], 103.0)) == limit


@given(st.lists(st.tuples(st.sampled_from([FlowOpened, FlowEstablished, FlowClosed]), st.integers(0, 4)), max_size=40))
def test_nothing_is_told_of_what_completed_and_nothing_twice(steps: list[tuple[type[Flow], int]]) -> None:
    """Any order: at most one for each opening, none for an opening that was established before it closed."""
    known = Handshakes()
    told: list[int] = []
    opened: dict[int, bool] = {}
    expected = 0
    for index, (kind, number) in enumerate(steps):
        told += [1] * len(incomplete(known, [flow(kind, number, 100.0 + index / 100)], 100.0 + index / 100))
        if kind is FlowOpened:
            opened[number] = True
        elif kind is FlowEstablished:
            opened.pop(number, None)
        elif opened.pop(number, None):
            expected += 1
    told += [1] * len(incomplete(known, [], 1000.0))
    assert len(told) == expected + len(opened)


def test_flows_are_sorted_by_what_they_mean() -> None:
    """A connection from its first packet to its end: opened, completed once, and ending with each sign of its end."""
    known = Handshakes()
    established = flow(FlowEstablished, state=TCP_ESTABLISHED, status=STATUS_SEEN_REPLY)
    hung_up = flow(FlowEstablished, state=TCP_FIN_WAIT, status=STATUS_SEEN_REPLY)
    flows = [flow(FlowOpened), established, established, hung_up, flow(FlowReset), flow(FlowClosed)]
    batch = known.feed(flows, 100.0)
    assert (batch.opened, batch.completed, batch.ending) == (flows[:1], [established], flows[3:])
    assert (batch.attempts, batch.completions, batch.incomplete) == (1, 2, [])
    listed = flow(FlowListed, 2, state=TCP_ESTABLISHED, status=STATUS_SEEN_REPLY)
    assert known.feed([listed], 100.0).listed == [listed]


def test_how_an_attempt_ended_is_told() -> None:
    """Refused before any answer; given up after one; never answered: only the first leaves nothing open."""
    known = Handshakes()
    openings = [flow(FlowOpened, number) for number in (1, 2, 3)]
    refused, given_up = flow(FlowClosed, 1), flow(FlowReset, 2, status=STATUS_SEEN_REPLY)
    told = incomplete(known, [*openings, refused, given_up], 102.0)
    assert [one.was_refused for one in told] == [True, False, False]


def test_beside_a_gap_completions_are_counted_all_the_same() -> None:
    """Attempts and completions are an estimate then: whoever completed one is not blamed, nor taken for proof twice."""
    known = Handshakes()
    established = flow(FlowEstablished, 7, state=TCP_ESTABLISHED, status=STATUS_SEEN_REPLY)
    batch = known.feed([flow(FlowOpened, 1), established, flow(FlowClosed, 1)], 100.0, has_gap=True)
    assert (batch.has_gap, batch.attempts, batch.completions) == (True, 1, 1)
    assert (batch.completed, batch.incomplete) == ([], [])
