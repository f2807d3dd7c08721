"""Overlapping prefixes as disjoint pieces: against brute force over every address of a small space."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.enforcers.nftables.prefix_set import PrefixSet
from monitor.enforcers.nftables.prefixes import TooManyPieces, difference, pieces
from monitor.model.addresses import Network, network_of, parse_network

SPACE = 256
# the last eight bits of one address block: 256 addresses
SMALL = st.builds(
    lambda last, length: network_of(bytes([10, 0, 0, last]), length), st.integers(0, 255), st.integers(24, 32)
)
ENDS = st.integers(1, 6).map(lambda n: n * 10.0)
BANS = st.dictionaries(SMALL, ENDS, max_size=12)


def _ends(bans: Mapping[Network, float]) -> list[float]:
    """Work out the end of every address by asking every ban; 0 where none covers it."""
    addresses = [bytes([10, 0, 0, last]) for last in range(SPACE)]
    return [max((end for n, end in bans.items() if n.contains(a)), default=0.0) for a in addresses]


def _networks(texts: Mapping[str, float]) -> dict[Network, float]:
    return {parse_network(text): end for text, end in texts.items()}


@settings(deadline=None)
@given(BANS)
def test_every_address_ends_with_the_latest_ban_over_it(bans: dict[Network, float]) -> None:
    """Coverage and ends are exactly those of the bans, and no two pieces overlap."""
    found = pieces(bans)
    assert _ends(found) == _ends(bans)
    assert sum(1 << (n.bits - n.prefix_length) for n in found) == sum(end > 0 for end in _ends(bans))


@settings(deadline=None)
@given(BANS)
def test_no_two_pieces_of_one_ban_could_be_one(bans: dict[Network, float]) -> None:
    """Two halves with the same end stand side by side only where no ban holds both."""
    found = pieces(bans)
    for network, end in found.items():
        parent = network_of(network.address, network.prefix_length - 1)
        halves = [n for n in found if n.prefix_length == network.prefix_length and parent.contains(n.address)]
        if len(halves) == 2 and found[halves[0]] == found[halves[1]] == end:
            assert not any(n.prefix_length <= parent.prefix_length and n.overlaps(parent) for n in bans)


def test_a_longer_narrow_ban_outlives_a_wide_one_and_a_shorter_one_adds_nothing() -> None:
    """The wide ban is cut around what lasts longer, in both families; neighbours are never joined."""
    assert pieces(_networks({"10.0.0.0/8": 5, "10.64.0.0/10": 9, "10.0.0.0/16": 1})) == _networks(
        {"10.0.0.0/10": 5, "10.64.0.0/10": 9, "10.128.0.0/9": 5}
    )
    assert pieces(_networks({"::/0": 5, "8000::/1": 5})) == _networks({"::/0": 5})
    assert pieces(_networks({"::/0": 5, "8000::/1": 7, "::/1": 7})) == _networks({"::/0": 7})
    assert len(pieces(_networks({"10.0.0.0/9": 5, "10.128.0.0/9": 5}))) == 2
    assert len(pieces(_networks({"::/0": 5, "::1/128": 9, "0.0.0.0/0": 1}))) == 130


def test_too_many_pieces_are_refused_before_they_are_worked_out() -> None:
    """A few far-apart narrow bans in a wide one make thousands of pieces: the limit stops the work."""
    bans = {network_of(n.to_bytes(2) + bytes(14), 128): 9.0 for n in range(2000)} | _networks({"::/0": 5})
    with pytest.raises(TooManyPieces):
        pieces(bans, limit=500)


@given(BANS, BANS)
def test_the_difference_leads_from_before_to_after(before: dict[Network, float], after: dict[Network, float]) -> None:
    """What is removed was there, what is added was not, and together they make the one into the other."""
    removed, added = difference(before, after)
    assert {n: end for n, end in before.items() if n not in removed} | added == after
    assert all(n in before for n in removed)
    assert all(before.get(n) != end for n, end in added.items())


STEPS = st.lists(st.tuples(st.dictionaries(SMALL, st.one_of(ENDS, st.none()), min_size=1, max_size=3)), max_size=12)


@settings(deadline=None)
@given(STEPS)
def test_step_by_step_the_set_holds_what_all_bans_together_ask_for(
    steps: list[tuple[dict[Network, float | None]]],
) -> None:
    """Whatever is added, lengthened and lifted, cluster by cluster: the pieces held are those of the bans in force."""
    known = PrefixSet({}, limit=1000)
    bans: dict[Network, float] = {}
    held: dict[Network, float] = {}
    for (wanted,) in steps:
        left = dict(wanted)
        lone = {network: end for network in known.lone(wanted) if (end := left.pop(network)) is not None}
        assert not any(one.overlaps(other) for one in lone for other in (*held, *bans, *wanted) if one != other)
        held |= lone
        known.accept_lone(lone)
        for part in known.clusters(left) if left else ():
            change = known.plan(part, now_s=0)
            for network in change.removed:
                del held[network]
            assert not held.keys() & change.added.keys()
            held |= change.added
            known.accept(change)
        bans = {n: end for n, end in (bans | wanted).items() if end is not None}
        assert held == pieces(bans)
        assert all(known.covering(network) for network in bans)


@settings(deadline=None)
@given(BANS)
def test_after_a_restart_the_bans_given_again_explain_what_the_kernel_holds(bans: dict[Network, float]) -> None:
    """Adopted pieces change nothing when the same bans come back, and go when those are lifted."""
    known = PrefixSet(pieces(bans), limit=1000)
    for part in known.clusters(bans) if bans else []:
        change = known.plan(part, now_s=0)
        assert (change.removed, change.added) == ([], {})
        known.accept(change)
    held = pieces(bans)
    for part in known.clusters(dict.fromkeys(bans)) if bans else []:
        change = known.plan(part, now_s=0)
        held = {n: end for n, end in held.items() if n not in change.removed} | change.added
        known.accept(change)
    assert held == {}


@settings(deadline=None)
@given(BANS, st.floats(-0.9, 0.9))
def test_pieces_that_are_bans_of_their_own_stay_as_they_are(bans: dict[Network, float], late_s: float) -> None:
    """After a restart a ban whose piece ends as it does needs no change; it can be lifted as any other."""
    known = PrefixSet({network: end + late_s for network, end in pieces(bans).items()}, limit=1000)
    agreed = known.agree(bans)
    assert set(agreed) == {network for network, end in bans.items() if pieces(bans).get(network) == end}
    assert known.agree(bans) == []
    for part in known.clusters(bans) if bans else []:
        known.accept(known.plan(part, now_s=0))
    for part in known.clusters(dict.fromkeys(bans)) if bans else []:
        known.accept(known.plan(part, now_s=0))
    assert not any(known.covering(network) for network in [*bans, *pieces(bans)])


def test_a_lone_prefix_is_alone() -> None:
    """Not inside, around or equal to a known ban, piece or another one that is wanted, nor at the very end."""
    known = PrefixSet(_networks({"10.1.0.0/16": 50, "10.4.0.0/16": 50}), limit=100)
    known.accept(known.plan({parse_network("10.8.0.0/14"): 9.0}, now_s=0))
    texts = [
        "10.0.0.0/15",
        "10.1.0.0/16",
        "10.4.8.0/24",
        "10.8.0.0/14",
        "10.9.0.0/16",
        "10.16.0.0/12",
        "10.17.0.0/16",
        "255.0.0.0/8",
    ]
    free = [
        parse_network(text) for text in ("9.255.0.0/16", "10.2.0.0/16", "10.5.0.0/24", "10.12.0.0/14", "11.0.0.0/8")
    ]
    wanted = _networks(dict.fromkeys(texts, 99.0)) | dict.fromkeys(free, 99.0)
    assert known.lone(wanted) == free
    assert known.lone(wanted | {parse_network("12.0.0.0/8"): None}) == []
    assert PrefixSet({}, limit=len(wanted) - 1).lone(wanted) == []


def test_a_piece_that_no_ban_explains_stays_until_it_ends() -> None:
    """What somebody else left in the set is in force, and a wider, shorter ban goes around it."""
    known = PrefixSet(_networks({"10.64.0.0/10": 99}), limit=100)
    (part,) = known.clusters(_networks({"10.0.0.0/8": 50}))
    change = known.plan(part, now_s=0)
    known.accept(change)
    assert (change.removed, change.added) == ([], _networks({"10.0.0.0/10": 50, "10.128.0.0/9": 50}))
    lifted = known.plan({parse_network("10.0.0.0/8"): None}, now_s=60)
    assert (lifted.removed, lifted.added) == ([], {})
    assert sorted(map(str, lifted.ended)) == ["10.0.0.0/10", "10.128.0.0/9"]


def test_the_number_of_bans_is_bounded_even_where_they_add_no_piece() -> None:
    """Narrow, short bans inside a wide one would only fill our memory; ended ones make room."""
    known = PrefixSet(_networks({"10.0.0.0/8": 50}), limit=3)
    for n in range(2):
        known.accept(known.plan({network_of(bytes([10, n, 0, 0]), 16): 5.0}, now_s=0))
    one_more: dict[Network, float | None] = {parse_network("10.9.0.0/16"): 9.0}
    with pytest.raises(TooManyPieces):
        known.plan(one_more, now_s=0)
    assert known.plan(one_more, now_s=6).added == {}


def test_what_was_lost_in_the_kernel_comes_back_with_the_next_change() -> None:
    """After a reading, pieces that are missing are added again and those of nobody are kept."""
    known = PrefixSet({}, limit=100)
    known.accept(known.plan({parse_network("10.0.0.0/8"): 50.0}, now_s=0))
    known.reread(_networks({"10.32.0.0/11": 99}))
    change = known.plan({parse_network("10.0.0.0/8"): 60.0}, now_s=0)
    assert change.removed == []
    assert set(change.added.values()) == {60.0}
    assert parse_network("10.32.0.0/11") not in change.added
