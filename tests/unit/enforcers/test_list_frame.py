"""The table of block lists as messages: what each list's rules do, in which order, and what is deleted."""

import re
from itertools import product

import pytest

from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.chains import CHAINS
from monitor.enforcers.nftables.list_frame import LETTERS, SETS, ListFrame, chains, frame_steps, room_for, set_specs
from monitor.lists.settings import LIST_NAMES, MAX_LISTS
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES

_FRAMES = [
    ListFrame(name, strength, drops, "a", 1024, 1024)
    for name, strength, drops in (
        ("drop", Strength.PROVEN, True),
        ("seen", Strength.PROVEN, False),
        ("scanners", Strength.SPOOFABLE, True),
        ("c2", Strength.DESTINATION, True),
    )
]


def test_what_is_allowed_and_loopback_come_first() -> None:
    """In each chain, as in those of bans; a shun lets answers through as well."""
    of_bans = {chain.name: chain for chain in CHAINS}
    for chain in chains(_FRAMES):
        like = of_bans[chain.name.removeprefix("list_")]
        first = next(index for index, rule in enumerate(chain.rules) if "@list_" in rule.text)
        assert [rule.text for rule in chain.rules[:first]] == [rule.text for rule in like.rules[:first]]
        assert all("@list_" in rule.text for rule in chain.rules[first:])
        assert (chain.hook, chain.priority) == (like.hook, like.priority + 1)


def test_a_list_that_only_counts_drops_nothing_and_is_asked_first() -> None:
    """So it sees what other lists drop, and no rule of it has a verdict."""
    (chain,) = [chain for chain in chains(_FRAMES) if chain.name == "list_ban"]
    rules = [rule.text for rule in chain.rules if "@list_" in rule.text]
    assert [re.findall(r'name "(\w+)"', rule)[0] for rule in rules] == ["list_seen"] * 4 + ["list_drop"] * 4
    assert [rule.endswith(" drop") for rule in rules] == [False] * 4 + [True] * 4


def test_every_rule_of_a_list_ends_with_the_lists_time() -> None:
    """No rule works without the set that says until when the list is live."""
    for chain in chains(_FRAMES):
        for rule in chain.rules:
            if lists := re.findall(r"@list_(\w+?)_a[46]", rule.text):
                assert f"@list_{lists[0]}_live counter" in rule.text


def test_only_chains_that_a_list_needs_are_made() -> None:
    """Rules that ask for the state of connections have the kernel track them: not without need."""
    assert [chain.name for chain in chains(_FRAMES[:1])] == ["list_ban"]
    assert not chains([])


def test_names_are_bounded_and_unique() -> None:
    """Whatever two lists are called, no set of the one is a set of the other; names fit into those of the kernel."""
    names = ("x", "x_live", "x_a4", "x_a", "x_a4_nets", "live", "4", "4_nets", "x-y", "a" * 32)
    assert all(re.fullmatch(LIST_NAMES.pattern, name) for name in names)
    frames = [ListFrame(name, Strength.PROVEN, True, letter, 1, 1) for name, letter in product(names, LETTERS)]
    sets = [name for frame in frames for name in frame.specs()]
    lives = {frame.live for frame in frames}
    assert len(set(sets)) == len(sets) - len(lives)  # the same for both letters of a list
    assert max(map(len, sets)) < 64
    assert len(SETS) * len(LETTERS) * MAX_LISTS < 200


def test_what_no_list_needs_is_deleted_rules_first() -> None:
    """A set in use cannot be deleted, and sets that are being filled for nobody are not kept."""
    found = frozenset({"table", "chain list_shun", "rules of chain list_shun", "set list_gone_a4", "object list_gone"})
    steps = [step.what for step in frame_steps(_FRAMES[:1], found, {})]
    gone = ["the former rules of chain list_shun", "the former chain list_shun", "the former set list_gone_a4"]
    assert [what for what in steps if what in {*gone, "the former counter list_gone"}] == [
        *gone,
        "the former counter list_gone",
    ]


def test_sets_that_are_there_are_not_made_again() -> None:
    """They keep what is in them."""
    specs = set_specs(_FRAMES)
    made = [step.request for step in frame_steps(_FRAMES, frozenset(f"set {name}" for name in specs), {})]
    assert not any(request.type == messages.NEW_SET for request in made)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 65_536, 1_048_576])
def test_a_set_has_room_to_grow(count: int) -> None:
    """By a quarter at least, and is never much larger than what is in it: the kernel reserves memory by the size."""
    assert count * 1.25 <= room_for(count) <= max(1024, 4 * count)
    assert room_for(0) <= MAX_PREFIXES
