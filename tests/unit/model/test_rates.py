"""Counts by key within about `findtime_s`: what is sure of them, whatever comes in whatever order."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.rates import RateWindow

FINDTIME_S, MAXRETRY = 10.0, 12
STEPS_S = st.integers(0, 8).map(float) | st.just(24.0)
COUNTS = st.dictionaries(st.sampled_from([b"a", b"b"]), st.integers(1, 11))


def window(*, findtime_s: float = FINDTIME_S, maxretry: int = MAXRETRY, max_entries: int = 1000) -> RateWindow:
    """Return an empty one."""
    return RateWindow(findtime_s=findtime_s, maxretry=maxretry, max_entries=max_entries)


def fires(rates: RateWindow, key: bytes, count: int, time_s: float) -> list[float]:
    """Count one key; return the counts that were told of it."""
    return [reached for told, reached in rates.add({key: count}, time_s) if told == key]


def test_the_threshold_itself_fires_and_one_less_does_not() -> None:
    """Eleven do not, the twelfth does, and then the key starts anew."""
    rates = window()
    told = [bool(fires(rates, b"a", 1, 100.0 + number / 10)) for number in range(24)]
    assert told == ([False] * 11 + [True]) * 2
    assert (rates.count(b"a"), rates.stats.entries) == (0, 0)


def test_keys_are_told_apart_within_one_batch() -> None:
    """Of three keys only those that reach the threshold are told, each with its own count."""
    rates = window()
    assert dict(rates.add({b"a": 12, b"b": 11, b"c": 40}, 100.0)) == {b"a": 12, b"c": 40}
    assert (rates.count(b"a"), rates.count(b"b"), rates.count(b"c")) == (0, 11, 0)


@given(st.lists(st.tuples(STEPS_S, COUNTS), max_size=40))
def test_what_fires_was_there_and_what_was_there_twice_fires(steps: list[tuple[float, dict[bytes, int]]]) -> None:
    """Held against a list of all that happened since a key fired last.

    It never fires for less than `maxretry` within twice `findtime_s`; it always does for twice `maxretry` (less one)
    within `findtime_s`, wherever its windows begin.
    """
    rates, now_s = window(), 100.0
    known: defaultdict[bytes, list[tuple[float, int]]] = defaultdict(list)
    for step_s, counts in steps:
        now_s += step_s
        told = dict(rates.add(counts, now_s))
        assert told.keys() <= counts.keys()
        for key, count in counts.items():
            known[key].append((now_s, count))
            within = {
                look_back_s: sum(count for time_s, count in known[key] if time_s > now_s - look_back_s)
                for look_back_s in (FINDTIME_S, 2 * FINDTIME_S)
            }
            if key in told:
                assert MAXRETRY <= told[key] <= within[2 * FINDTIME_S]
                known[key].clear()
            else:
                assert within[FINDTIME_S] < 2 * MAXRETRY - 1


@given(st.lists(st.tuples(st.floats(0, FINDTIME_S, exclude_max=True), st.integers(1, 5)), max_size=30))
def test_the_first_findtime_is_counted_exactly(given: list[tuple[float, int]]) -> None:
    """Whoever begins after a rest and reaches `maxretry` within `findtime_s` fires at just that moment."""
    rates = window()
    assert list(rates.add({b"before": 1}, 100.0)) == []
    total = 0
    for offset_s, count in sorted(given):
        total += count
        told = fires(rates, b"a", count, 100.0 + offset_s)
        assert told == ([total] if total >= MAXRETRY else [])
        total = 0 if told else total


@pytest.mark.parametrize(("per_second", "is_too_much"), [(9, False), (11, True)])
def test_a_steady_rate_is_held_against_the_threshold(per_second: int, is_too_much: bool) -> None:
    """Of a hundred within ten seconds, nine a second for minutes are not too many; eleven are."""
    rates = window(maxretry=100)
    told = [fires(rates, b"a", per_second, 100.0 + second) for second in range(300)]
    assert any(told) is is_too_much


def test_a_count_fades_with_the_window_before() -> None:
    """Ten things count as ten until the next window, of which half covers half of them, and then no more.

    A small step back does not bring them back.
    """
    rates = window()
    fires(rates, b"a", 10, 100.0)
    counts = []
    for time_s in (109.0, 115.0, 112.5, 117.5, 121.0):
        fires(rates, b"other", 1, time_s)
        counts.append(rates.count(b"a"))
    assert counts == [10, 5, 5, 2, 0]


def test_a_clock_that_is_set_begins_anew() -> None:
    """Far ahead and far back all is forgotten; small steps back count as now."""
    rates = window()
    for time_s in (100.0, 99.0, 91.0):
        assert fires(rates, b"a", 3, time_s) == []
    assert rates.count(b"a") == 9
    for time_s in (10_000.0, 50.0):
        assert fires(rates, b"a", 11, time_s) == []
        assert rates.count(b"a") == 11
    assert fires(rates, b"a", 1, 50.0) == [12]


@given(
    st.integers(4, 40),
    st.lists(st.tuples(STEPS_S, st.dictionaries(st.binary(min_size=1, max_size=1), st.integers(1, 6))), max_size=30),
)
def test_no_more_is_remembered_than_allowed(max_entries: int, steps: list[tuple[float, dict[bytes, int]]]) -> None:
    """Whatever comes: entries stay within the bound, and are counted right."""
    rates, now_s = window(maxretry=7, max_entries=max_entries), 100.0
    for step_s, counts in steps:
        now_s += step_s
        list(rates.add(counts, now_s))
        assert rates.stats.entries == len(rates._current) + len(rates._previous) <= max_entries


def test_a_flood_of_single_ones_does_not_wash_out_who_floods() -> None:
    """Ten thousand keys with one thing each, in a window of 64: the one with half of its threshold is still there."""
    rates = window(maxretry=100, max_entries=64)
    assert fires(rates, b"heavy", 50, 100.0) == []
    for number in range(10_000):
        assert list(rates.add({number.to_bytes(4): 1}, 101.0)) == []
    assert rates.count(b"heavy") == 50
    assert rates.stats.evicted_keys + rates.stats.entries == 10_001
    assert fires(rates, b"heavy", 50, 102.0) == [100]


def test_even_equal_keys_make_room() -> None:
    """Where all were counted alike half of them stay, those that came last; the others are counted as forgotten."""
    rates = window(max_entries=64)
    assert list(rates.add({number.to_bytes(4): 3 for number in range(33)}, 100.0)) == []
    assert (rates.stats.entries, rates.stats.evicted_keys) == (16, 17)
    assert (rates.count(bytes(3) + b"\x10"), rates.count(bytes(3) + b"\x11")) == (0, 3)


def test_half_of_the_room_is_made_at_once() -> None:
    """Where the least counted are few the next go as well, so that not every batch of a flood looks through all."""
    rates = window(max_entries=64)
    counts = [1] * 10 + [2] * 10 + [9] * 13
    assert list(rates.add({number.to_bytes(4): count for number, count in enumerate(counts)}, 100.0)) == []
    assert (rates.stats.entries, rates.stats.evicted_keys) == (16, 17)


def test_what_fired_does_not_count_again_from_the_window_before() -> None:
    """Eleven, and in the next window one more: it fires, and then all twelve are spent."""
    rates = window()
    assert fires(rates, b"a", 11, 100.0) == []
    assert fires(rates, b"a", 2, 110.0) == [13]
    assert fires(rates, b"a", 11, 110.0) == []
