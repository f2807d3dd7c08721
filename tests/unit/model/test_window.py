"""The sliding window of distinct things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.window import DistinctWindow


def window(*, findtime_s: float = 60.0, maxretry: int = 5, max_entries: int = 1000) -> DistinctWindow:
    """Return a small window."""
    return DistinctWindow(findtime_s=findtime_s, maxretry=maxretry, max_entries=max_entries)


def test_distinct_items_cross_the_threshold_once() -> None:
    """The fifth distinct item crosses; the key is forgotten then and starts anew."""
    counts = window()
    crossings = [counts.add(b"a", bytes([item]), 100.0 + item) for item in range(10)]
    assert [crossing is not None for crossing in crossings] == [False] * 4 + [True] + [False] * 4 + [True]
    assert crossings[4] is not None
    assert (crossings[4].items, crossings[4].first_s, crossings[4].last_s) == (
        (b"\0", b"\1", b"\2", b"\3", b"\4"),
        100.0,
        104.0,
    )


def test_the_same_item_counts_once() -> None:
    """A thousand knocks on one door are one item."""
    counts = window()
    assert not any(counts.add(b"a", b"x", 100.0) for _ in range(1000))
    assert counts.count(b"a") == 1


def test_items_older_than_findtime_do_not_count() -> None:
    """Four items, a pause longer than findtime, four more: no crossing."""
    counts = window()
    for item in range(4):
        assert counts.add(b"a", bytes([item]), 100.0) is None
    for item in range(4, 8):
        assert counts.add(b"a", bytes([item]), 161.0) is None


def test_what_is_old_is_forgotten_without_being_asked_for() -> None:
    """Keys that fell silent leave as others come, so a quiet table shrinks."""
    counts = window()
    for number in range(500):
        counts.add(number.to_bytes(2), b"x", 100.0)
        counts.add(number.to_bytes(2), b"y", 100.0)
    for number in range(500, 1100):
        counts.add(number.to_bytes(2), b"x", 200.0)
    assert counts.stats.entries == 600
    assert counts.stats.evicted_keys == 0


def test_after_a_rest_all_that_is_old_goes() -> None:
    """Whatever was remembered before a pause is gone after as many events; what is new stays until it is old."""
    counts = window()
    for pause in (1000.0, 2000.0, 3000.0):
        for number in range(300):
            counts.add(number.to_bytes(2), b"x", pause + number / 100)
            counts.add((number // 7).to_bytes(3), number.to_bytes(2), pause + number / 100)
        assert counts.stats.entries <= 2 * 300
    for number in range(400):
        counts.add(number.to_bytes(4), b"x", 4000.0)
    assert (counts.stats.entries, counts.stats.evicted_keys) == (400, 0)


def test_memory_is_bounded_and_says_when_it_evicts() -> None:
    """Ten times more sources than entries: the bound holds and every lost key is counted."""
    counts = window(max_entries=1000)
    for number in range(10_000):
        counts.add(number.to_bytes(4), b"x", 100.0)
    assert counts.stats.entries == len(counts) == 1000
    assert counts.stats.evicted_keys == 9000


def test_a_flood_of_sources_does_not_wash_out_an_offender() -> None:
    """Somebody with four of five items is still known after a million items' worth of others passed by."""
    counts = window(max_entries=1000)
    for item in range(4):
        counts.add(b"offender", bytes([item]), 100.0)
    for number in range(100_000):
        counts.add(number.to_bytes(4), bytes([number & 1]), 101.0)
    assert counts.add(b"offender", b"last", 102.0) is not None


def test_a_clock_set_back_starts_anew() -> None:
    """After a step back by more than findtime the window works on; a small disorder changes nothing."""
    counts = window()
    for item in range(4):
        counts.add(b"a", bytes([item]), 10_000.0)
    counts.add(b"a", b"late", 9_990.0 - 60.0)
    assert counts.count(b"a") == 1
    crossings = [counts.add(b"b", bytes([item]), 5000.0 + item % 2) for item in range(5)]
    assert crossings[-1] is not None
    for number in range(100):
        counts.add(number.to_bytes(2), b"x", 5010.0)
    for number in range(100):
        counts.add(number.to_bytes(3), b"x", 5100.0)
    assert counts.stats.entries == 100


def test_a_threshold_of_one_fires_each_time() -> None:
    """The first item of a key crosses already, and nothing is remembered."""
    counts = window(maxretry=1)
    crossings = [counts.add(b"a", b"x", 100.0) for _ in range(2)]
    assert [crossing.items if crossing else () for crossing in crossings] == [(b"x",), (b"x",)]
    assert counts.stats.entries == 0


@pytest.mark.parametrize("maxretry", [0, -1, 1000, 5000])
def test_thresholds_that_cannot_work_are_refused(maxretry: int) -> None:
    """A threshold of none, or beyond the bound, is an error at once and not a detector that never fires."""
    with pytest.raises(ValueError, match="maxretry"):
        window(maxretry=maxretry, max_entries=1000)


class Model:
    """The same by brute force: all that was ever seen."""

    def __init__(self) -> None:
        self.seen: dict[bytes, dict[bytes, float]] = {}

    def add(self, key: bytes, item: bytes, time_s: float) -> bool:
        """Whether the key crosses a threshold of 4 within 10 s."""
        items = self.seen.setdefault(key, {})
        items[item] = time_s
        if sum(time >= time_s - 10.0 for time in items.values()) >= 4:
            del self.seen[key]
            return True
        return False


@given(st.lists(st.tuples(st.binary(max_size=1), st.binary(max_size=1), st.integers(0, 4)), max_size=200))
def test_agrees_with_a_model_that_forgets_nothing(steps: list[tuple[bytes, bytes, int]]) -> None:
    """While nothing is evicted, the window fires exactly when brute force does."""
    counts = DistinctWindow(findtime_s=10.0, maxretry=4, max_entries=100_000)
    model = Model()
    time_s = 0.0
    for key, item, pause in steps:
        time_s += pause
        assert (counts.add(key, item, time_s) is not None) == model.add(key, item, time_s)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20)), max_size=300))
def test_the_count_of_entries_is_exact(steps: list[tuple[int, int, int]]) -> None:
    """However keys come, go, grow and are evicted, `entries` is what is remembered, and never above the bound."""
    counts = DistinctWindow(findtime_s=50.0, maxretry=9, max_entries=40)
    time_s = 0.0
    for key, item, pause in steps:
        time_s += pause
        counts.add(bytes([key]), bytes([item]), time_s)
        assert counts.stats.entries == sum(counts.count(bytes([number])) for number in range(31)) <= 40
