"""The window does what its rules say, event for event, and what it is made of keeps its order."""

import random
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.aged_keys import AgedKeys
from monitor.model.level_window import LevelWindow
from tests.unit.model.plain_window import PlainWindow

_PAUSES_S = (*(0.0,) * 120, *(0.3,) * 6, 3.0, -0.5, -20.0)
_RARE_PAUSES_S = 60.0, -300.0
_STEPS = 3000


@pytest.mark.parametrize("max_entries", [16, 40, 90])
@pytest.mark.parametrize(("maxretry", "items"), [(1, 2), (2, 3), (5, 20), (15, 16)])
def test_the_window_does_what_the_plain_rules_say(maxretry: int, items: int, max_entries: int) -> None:
    """Whatever comes, in whatever order of time: the same crossings, counts and losses, mostly while it is full."""
    chance = random.Random(f"{maxretry} {items} {max_entries}")
    window = LevelWindow(findtime_s=50.0, maxretry=maxretry, max_entries=max_entries)
    plain = PlainWindow(findtime_s=50.0, maxretry=maxretry, max_entries=max_entries)
    now_s, kept = 1000.0, 0
    for step in range(_STEPS):
        now_s += chance.choice(_PAUSES_S if step % 900 else _RARE_PAUSES_S)
        key = bytes([chance.randrange(60) if step & 1 else min(99, int(chance.expovariate(0.3)))])
        item = bytes([chance.randrange(items)])
        if chance.random() < 0.03:
            assert window.discard(key, item) == plain.discard(key, item)
            continue
        crossing = window.add(key, item, now_s)
        assert (crossing.items if crossing else None) == plain.add(key, item, now_s)
        plain.stats.entries = plain.entries()
        assert window.stats == plain.stats
        kept = max(kept, len(plain.kept))
    if max_entries == 16 and maxretry > 2:
        assert plain.stats.evicted_keys > 500
        assert kept > 1
    levels = [(key, len(items)) for level in (*plain.levels, plain.kept) for key, items in level.items()]
    assert list(window.counts()) == levels
    assert [window.count(key) for key, _ in levels] == [count for _, count in levels]
    rows = window.export(max_entries)
    assert len(rows) == plain.entries()
    assert {(key, item, time_s) for key, item, time_s in rows} == {
        (key, item, time_s)
        for level in (*plain.levels, plain.kept)
        for key, items in level.items()
        for item, time_s in items.items()
    }


@given(st.lists(st.tuples(st.sampled_from(["put", "pop", "pop_first", "first"]), st.integers(0, 9)), max_size=100))
def test_aged_keys_are_in_the_order_in_which_they_came(steps: list[tuple[str, int]]) -> None:
    """As in an OrderedDict, from both ends and whatever is deleted in between."""
    aged: AgedKeys[bytes, int] = AgedKeys()
    plain: OrderedDict[bytes, int] = OrderedDict()
    for place, (step, number) in enumerate(steps):
        key = bytes([number])
        match step:
            case "put":
                aged.pop(key)
                plain.pop(key, None)
                aged.young[key] = plain[key] = place
            case "pop":
                assert aged.pop(key) == plain.pop(key, None)
            case "first" if plain:
                assert aged.first() == next(iter(plain.items()))
            case "pop_first" if plain:
                expected = [plain.popitem(last=False) for _ in range(min(number, max(1, len(plain) - 1)))]
                assert aged.pop_first(number) == expected
        assert (list(aged.items()), list(aged.latest())) == (list(plain.items()), list(reversed(plain.items())))
        assert (len(aged), key in aged, aged.get(key)) == (len(plain), key in plain, plain.get(key))
