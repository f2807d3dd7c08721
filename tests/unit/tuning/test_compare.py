"""The comparison: which sources another configuration bans, spares, and bans otherwise."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.daemon.tuning.ban_history import BanHistory, Span
from monitor.daemon.tuning.compare import Comparison, Kind, Limits, compare
from monitor.daemon.tuning.known_good import Mark
from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.alerts import Strength
from tests.unit.tuning.histories import ban, history

A, B = "192.0.2.7", "192.0.2.8"
MIRRORED = {
    Kind.ADDED: Kind.LOST,
    Kind.EARLIER: Kind.LATER,
    Kind.STRONGER: Kind.WEAKER,
    Kind.LONGER: Kind.SHORTER,
    Kind.OBSERVED_ADDED: Kind.OBSERVED_LOST,
}
MIRRORED |= {other: one for one, other in MIRRORED.items()} | {Kind.COVERED: Kind.COVERED}


def kinds(old: list[Span], new: list[Span]) -> list[tuple[str, tuple[Kind, ...]]]:
    """Return the changes, each with its network."""
    found = compare(history(*old), history(*new))
    return [(str(change.network), change.kinds) for change in found.changes]


def _narrow(span: Span) -> Span:
    network = Network(span.network.address, span.network.prefix_length, b"\x06\x00\x16")
    return msgspec.structs.replace(span, network=network)


CASES: dict[str, tuple[list[Span], list[Span], list[tuple[str, tuple[Kind, ...]]]]] = {
    "the same": ([ban(A, 1000)], [ban(A, 1000.5, 601)], []),
    "a new one": ([ban(A, 1000)], [ban(A, 1000), ban(B, 2000)], [(B, (Kind.ADDED,))]),
    "one less": ([ban(A, 1000), ban(B, 2000)], [ban(B, 2000)], [(A, (Kind.LOST,))]),
    "earlier": ([ban(A, 1000)], [ban(A, 900)], [(A, (Kind.EARLIER,))]),
    "later, after the other one ended": ([ban(A, 1000)], [ban(A, 2000)], [(A, (Kind.LATER,))]),
    "too much later to be the same": ([ban(A, 1000)], [ban(A, 9000)], [(A, (Kind.LOST,)), (A, (Kind.ADDED,))]),
    "longer": ([ban(A, 1000)], [ban(A, 1000, 3600)], [(A, (Kind.LONGER,))]),
    "one long ban instead of three": (
        [ban(A, 1000, 60), ban(A, 1100, 60), ban(A, 1200, 60)],
        [ban(A, 1000, 3600)],
        [(A, (Kind.LONGER,))],
    ),
    "stronger": ([ban(A, 1000, strength=Strength.SPOOFABLE)], [ban(A, 1000)], [(A, (Kind.STRONGER,))]),
    "all ports instead of one": ([_narrow(ban(A, 1000))], [ban(A, 1000)], [(A, (Kind.STRONGER,))]),
    "by another detector": ([ban(A, 1000)], [ban(A, 1000, detector="port_scan")], []),
    "observed now enforced": ([ban(A, 1000, is_observed=True)], [ban(A, 1000)], [(A, (Kind.ADDED,))]),
    "enforced now observed": ([ban(A, 1000)], [ban(A, 1000, is_observed=True)], [(A, (Kind.LOST,))]),
    "observed only": ([], [ban(A, 1000, is_observed=True)], [(A, (Kind.OBSERVED_ADDED,))]),
    "observed by both": ([ban(A, 1000, is_observed=True)], [ban(A, 3000, is_observed=True)], []),
    "a wider ban": (
        [ban(A, 1000), ban(B, 1100)],
        [ban("192.0.2.0/24", 900, 3600)],
        [("192.0.2.0/24", (Kind.ADDED,)), (A, (Kind.COVERED,)), (B, (Kind.COVERED,))],
    ),
    "a wider ban that is weaker": (
        [ban(A, 1000)],
        [ban("192.0.2.0/24", 900, 3600, strength=Strength.SPOOFABLE)],
        [("192.0.2.0/24", (Kind.ADDED,)), (A, (Kind.LOST,))],
    ),
    "egress is another matter": (
        [ban(A, 1000, strength=Strength.DESTINATION)],
        [ban(A, 1000)],
        [(A, (Kind.LOST,)), (A, (Kind.ADDED,))],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kinds_of_changes(name: str) -> None:
    """Each kind of change, and what is none."""
    old, new, expected = CASES[name]
    assert sorted(kinds(old, new)) == sorted(expected)


_NETWORKS = st.builds(
    lambda last, length: network_of(bytes((192, 0, 2, last)), length), st.integers(0, 7), st.sampled_from([24, 30, 32])
)
_SPANS = st.builds(
    lambda network, since_s, length_s, strength, is_observed: Span(
        network, strength, is_observed, float(since_s), float(since_s + length_s), "sshd", ""
    ),
    _NETWORKS,
    st.integers(0, 20_000),
    st.integers(1, 5000),
    st.sampled_from(Strength),
    st.booleans(),
)
_HISTORIES = st.lists(_SPANS, max_size=12).map(lambda spans: history(*spans))


@given(_HISTORIES)
@settings(max_examples=60, deadline=None)
def test_nothing_differs_from_itself(one: BanHistory) -> None:
    """The same configuration changes nothing."""
    found = compare(one, one)
    assert not found.changes
    assert not Limits(0, 0, 0, 0).exceeded(found)


@given(_HISTORIES, _HISTORIES)
@settings(max_examples=150, deadline=None)
def test_the_way_back_undoes_each_change(old: BanHistory, new: BanHistory) -> None:
    """What is added one way is lost the other way: no change is counted on one side only."""
    forth, back = compare(old, new), compare(new, old)
    assert forth.unchanged == back.unchanged
    # a length is compared with that of the old side
    exact = {kind: count for kind, count in forth.kinds.items() if kind not in (Kind.LONGER, Kind.SHORTER)}
    assert exact == {MIRRORED[kind]: back.kinds[kind] for kind in back.kinds if MIRRORED[kind] in exact}


@given(_HISTORIES, _HISTORIES)
@settings(max_examples=150, deadline=None)
def test_who_is_lost_is_banned_by_the_old_one_alone(old: BanHistory, new: BanHistory) -> None:
    """Lost means that the new configuration never bans the network while the old one does; added is the reverse."""
    for change in compare(old, new).changes:
        for kind, side, other in ((Kind.LOST, change.old, new), (Kind.ADDED, change.new, old)):
            if kind in change.kinds:
                assert side is not None
                same = [
                    span
                    for span in other.spans
                    if not span.is_observed
                    and span.network == change.network
                    and (span.strength is Strength.DESTINATION) is (side.strength is Strength.DESTINATION)
                ]
                assert not any(span.since_s <= side.since_s <= span.until_s for span in same)


def _marked(network: Network, _: float) -> tuple[Mark, ...]:
    return {parse_network(A): (Mark.INTERNAL,), parse_network(B): (Mark.CLIENT, Mark.BAD)}.get(network, ())


def _found(*new: Span, old: tuple[Span, ...] = ()) -> Comparison:
    return compare(history(*old), history(*new), _marked)


def test_limits_name_what_is_exceeded() -> None:
    """A limit is the most that is allowed; each that is exceeded is named."""
    found = _found(ban(A, 1000), ban(B, 1000), ban("192.0.2.9", 1000))
    assert Limits(3, 0, 1, 1).exceeded(found) == []
    assert Limits(new_bans=2).exceeded(found) == ["3 bans are added: more than --max-new-bans 2"]
    assert Limits(0, 0, 0, 0).exceeded(found) == [
        "3 bans are added: more than --max-new-bans 0",
        "1 added or stronger bans hit internal addresses: more than --max-internal 0",
        "1 added or stronger bans hit known-good sources: more than --max-known-good 0",
    ]
    assert Limits(lost_bans=0).exceeded(_found(old=(ban(A, 1000),))) == ["1 bans are lost: more than --max-lost-bans 0"]


def test_a_label_outweighs_what_makes_a_source_good() -> None:
    """B is a client, and labelled bad: its ban is no mistake, and its loss is counted."""
    assert _found(ban(B, 1000)).known_good == 0
    assert _found(old=(ban(B, 1000),)).lost_bad == 1


def test_a_stronger_ban_of_a_known_good_source_counts() -> None:
    """It was only shunned before, and is cut off now."""
    assert _found(ban(A, 1000), old=(ban(A, 1000, strength=Strength.SPOOFABLE),)).known_good == 1


def test_what_was_not_compared_exceeds_every_limit() -> None:
    """Bans beyond the bound on memory are never taken for none."""
    found = compare(history(omitted=3), history(omitted=3))
    assert Limits().exceeded(found) == []
    assert Limits(new_bans=100).exceeded(found) == [
        "6 bans are beyond what can be compared: the limits cannot be judged"
    ]


def test_changes_are_counted_by_detector() -> None:
    """A detector answers for its own changes."""
    found = _found(ban(A, 1000), ban(B, 1000, detector="port_scan"), old=(ban("192.0.2.9", 1),))
    assert found.by_detector == {"port_scan": {Kind.ADDED: 1}, "sshd": {Kind.ADDED: 1, Kind.LOST: 1}}
