"""Lists as columns: look-ups, what the allowlist leaves, and differences are those of plain networks."""

import ipaddress
import random

from hypothesis import given
from hypothesis import strategies as st

from monitor.lists.columns import NOTHING, counts, overlapping, without
from monitor.lists.difference import PART, difference
from monitor.lists.file import PackedNetworks
from monitor.model.addresses import Network, collapse, host
from tests.support.lists import crowded_lists, pack


def _is_inside(inner: Network, outer: Network) -> bool:
    one, other = (ipaddress.ip_network(str(network)) for network in (inner, outer))
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]  # the same version


@given(crowded_lists, crowded_lists)
def test_a_look_up_finds_what_overlaps(listed: list[Network], wanted: list[Network]) -> None:
    """Every entry that shares an address with a network is found, and no other, in order; as ipaddress says."""
    for network in wanted:
        expected = [one for one in listed if _is_inside(one, network) or _is_inside(network, one)]
        assert overlapping(pack(listed), network, len(listed)) == expected
        assert overlapping(pack(listed), network, 1) == expected[:1]


@given(crowded_lists, crowded_lists)
def test_what_is_allowed_is_left_out(listed: list[Network], some: list[Network]) -> None:
    """An entry inside an allowed network goes; one around it stays, since the kernel accepts the allowed part."""
    allowed = collapse(some)
    left = list(without(pack(listed), allowed).networks())
    assert left == [one for one in listed if not any(_is_inside(one, other) for other in allowed)]


def _carried_out(old: list[Network], new: list[Network], limit: int) -> set[Network]:
    held = set(old)
    for part in difference(pack(old), pack(new), limit):
        assert max(len(part.removed), len(part.added)) <= limit
        held -= {Network(*entry) for entry in part.removed}
        for entry in part.added:
            added = Network(*entry)
            assert not any(added.overlaps(one) for one in held)
            held.add(added)
    return held


@given(crowded_lists, crowded_lists, st.sampled_from((1, 2, 3, 7, PART)))
def test_a_difference_makes_the_new_of_the_old(old: list[Network], new: list[Network], limit: int) -> None:
    """Part by part, and nothing is ever added that overlaps what is there: the kernel would refuse it."""
    assert _carried_out(old, new, limit) == set(new)


def test_a_network_that_is_split_is_removed_before_its_parts_are_added() -> None:
    """And one that takes the place of many comes after they are gone, whatever the size of a part."""
    wide, parts = [Network(bytes(4), 25)], [host(number.to_bytes(4)) for number in range(128)]
    assert _carried_out(wide, parts, 10) == set(parts)
    assert _carried_out(parts, wide, 10) == set(wide)


def test_a_day_of_updates_is_what_a_fresh_load_is() -> None:
    """Updates each hour leave what the last version has, and touch only what changed."""
    rng = random.Random(19)
    current = set(rng.sample(range(1 << 32), 4000))
    held = set(current)
    for _ in range(24):
        before, current = current, {*rng.sample(sorted(current), 3800), *rng.sample(range(1 << 32), 200)}
        touched = 0
        for part in difference(_hosts(before), _hosts(current)):
            held.difference_update(int.from_bytes(address) for address, _ in part.removed)
            held.update(int.from_bytes(address) for address, _ in part.added)
            touched += len(part.removed) + len(part.added)
        assert held == current
        assert touched <= 400
    fresh = [entry for part in difference(NOTHING, _hosts(current)) for entry in part.added]
    assert {int.from_bytes(address) for address, _ in fresh} == held


def _hosts(numbers: set[int]) -> PackedNetworks:
    return pack(host(number.to_bytes(4)) for number in numbers)


def test_an_unchanged_stretch_costs_one_comparison() -> None:
    """Two equal versions differ in nothing; empty parts give the loop time for other work."""
    networks = [host(number.to_bytes(4)) for number in range(0, 40_000, 2)]
    parts = list(difference(pack(networks), pack(networks), 100))
    assert len(parts) == 200
    assert not any(part.removed or part.added for part in parts)


@given(crowded_lists)
def test_elements_are_counted_by_set(listed: list[Network]) -> None:
    """Single addresses and wider networks, apart from those of a set that ends with the last address."""
    found = counts(pack(listed))
    for word, size in (("4", 4), ("6", 16)):
        family = [one for one in listed if len(one.address) == size]
        assert found[word] == sum(one.is_host for one in family)
        nets = [one for one in family if not one.is_host]
        is_open = bool(nets) and nets[-1].last() == b"\xff" * size
        assert found.get(f"{word}_nets") == (None if is_open else len(nets))
