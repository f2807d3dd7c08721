"""Windows that are full: newcomers get in, networks take their share, and what is kept is still exact."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.crowds import SHARE, beyond_share, find_crowds, shown
from monitor.model.eviction_sketch import EvictionSketch
from monitor.model.window import DistinctWindow

FINDTIME_S, MAXRETRY, MAX_ENTRIES = 600.0, 15, 1024


def window() -> DistinctWindow:
    """Return a window with the thresholds of `port_scan`, a thirty-second of its size."""
    return DistinctWindow(findtime_s=FINDTIME_S, maxretry=MAXRETRY, max_entries=MAX_ENTRIES)


def forged(number: int) -> bytes:
    """Return one of many IPv4 addresses, each in another network."""
    return (number * 0x9E37_79B1 & 0xFFFF_FFFF).to_bytes(4)


def test_sources_kept_halfway_do_not_shut_out_newcomers() -> None:
    """As many with eight items as fit, each item again in time: a source that comes then reaches the threshold."""
    full = window()
    pool = [(forged(number), bytes([item])) for number in range(MAX_ENTRIES // 8 + 3) for item in range(8)]
    for turn in range(3):
        for number, (key, item) in enumerate(pool):
            assert full.add(key, item, 1000.0 + FINDTIME_S * 0.9 * (turn + number / len(pool))) is None
    assert full.stats.entries > MAX_ENTRIES - 16
    now_s = 1000.0 + FINDTIME_S * 2.7
    crossings = [full.add(b"scan", bytes([port]), now_s + port) for port in range(MAXRETRY)]
    assert [crossing is not None for crossing in crossings] == [False] * (MAXRETRY - 1) + [True]


def test_a_source_too_slow_for_the_flood_is_found_because_it_comes_back() -> None:
    """Every 2 s, while the window is filled anew within 1.6 s: only its many evictions tell it from forged sources."""
    full, new = window(), itertools.count()
    for step in range(200):
        now_s = 1000.0 + 2.0 * step
        if full.add(b"scan", step.to_bytes(2), now_s) is not None:
            break
        assert full.count(b"scan") == 1 or step > 3  # how soon it is known depends on chance
        for number in itertools.islice(new, 1250):
            assert full.add(forged(number), b"x", now_s + number % 1250 / 625) is None
    else:
        raise AssertionError("not found")
    assert full.stats.missed_lately > 10_000


def test_a_network_can_only_push_out_itself() -> None:
    """A /48 with 65,536 prefixes takes an eighth; what others did is still known, and its own worst are found."""
    full = window()
    others = [b"\x2a" + bytes([number]) + bytes(14) for number in range(100)]
    for key, item in itertools.product(others, range(3)):
        full.add(key, bytes([item]), 1000.0)
    for number in range(20_000):
        full.add(b"\x20\x01\x0d\xb8\x00\x07" + number.to_bytes(2) + bytes(8), bytes([number & 3]), 1001.0)
    assert [full.count(key) for key in others] == [3] * 100
    assert full.stats.entries <= 300 + MAX_ENTRIES // SHARE
    assert list(map(shown, full.stats.crowds)) == ["2001:db8:7::/48"]
    worst = b"\x20\x01\x0d\xb8\x00\x07\xff\xff" + bytes(8)
    assert any(full.add(worst, bytes([port]), 1002.0) for port in range(MAXRETRY))
    assert full.discard(others[0], b"\x00")
    assert full.count(others[0]) == 2


def test_a_crowd_that_fell_silent_ends() -> None:
    """After findtime, when the window is full again: its room is for others."""
    full = window()
    for number in range(3000):
        full.add(b"\x20\x01\x0d\xb8\x00\x07" + number.to_bytes(2) + bytes(8), b"x", 1000.0)
    for number in range(6000):
        full.add(forged(number), b"x", 3000.0)
    assert full.stats.crowds == ()
    assert (full.stats.entries, len(full)) == (MAX_ENTRIES, MAX_ENTRIES)


STEPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 7), st.integers(0, 9)), max_size=400)


@given(STEPS)
def test_what_crosses_has_crossed(steps: list[tuple[int, int, int]]) -> None:
    """However much is forgotten, saved or moved: an alert rests on distinct items that were seen within findtime."""
    full = DistinctWindow(findtime_s=50.0, maxretry=4, max_entries=12)
    seen: dict[bytes, dict[bytes, float]] = {}
    now_s = 0.0
    for key, item, pause in steps:
        now_s += pause
        items = seen.setdefault(bytes([key]), {})
        items[bytes([item])] = now_s
        crossing = full.add(bytes([key]), bytes([item]), now_s)
        if crossing is not None:
            assert len(set(crossing.items)) >= 4
            assert all(items[one] >= now_s - 50.0 for one in crossing.items)
            items.clear()
        assert full.stats.entries == sum(full.count(bytes([number])) for number in range(13)) <= 12


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 300)), max_size=100))
def test_entries_are_exact_while_networks_split(steps: list[tuple[int, int, int]]) -> None:
    """Keys of four networks, of which some take more than their share: the sum is what is remembered, and bounded."""
    full = DistinctWindow(findtime_s=50.0, maxretry=3, max_entries=256)
    now_s = 0.0
    for network, pause, count in steps:
        now_s += pause
        for number in range(count):
            full.add(b"\x20\x01\x0d\xb8\x00" + bytes([network]) + number.to_bytes(2), bytes([number & 1]), now_s)
        assert full.stats.entries <= 256
        assert len(full) <= full.stats.entries
        assert full.most(b"") <= 2


def test_the_sketch_saves_only_what_comes_back() -> None:
    """Of 200,000 keys evicted once hardly any is saved; one evicted with every hundredth of them is, repeatedly."""
    sketch = EvictionSketch(1024, FINDTIME_S)
    saved: list[bytes] = []
    for number in range(2000):
        keys = [*(forged(one) for one in range(100 * number, 100 * number + 100)), b"again"]
        saved += sketch.saved(keys, 1000.0 + number / 10)
    assert saved.count(b"again") > 20
    assert len(saved) - saved.count(b"again") < 20


def test_crowds_are_found_at_both_widths() -> None:
    """A /48 with more than an eighth; a /32 whose networks have little each but more than a quarter together."""
    scattered = [(forged(number), 1) for number in range(500)]
    crowd = [(b"\x20\x01\x0d\xb8\x00\x07" + number.to_bytes(2), 1) for number in range(200)]
    provider = [(b"\x2a\x00\x00\x01" + number.to_bytes(2) + bytes(10), 1) for number in range(350)]
    assert list(map(shown, find_crowds([*scattered, *crowd, *provider]))) == ["2001:db8:7::/48", "2a00:1::/32"]
    ours = [(bytes([192, 0, 2, number]), 9) for number in range(100)]
    assert list(map(shown, find_crowds([*scattered, *ours]))) == ["192.0.2.0/24"]
    assert find_crowds(scattered) == []
    assert len(list(beyond_share([key for key, _ in crowd]))) == 200 - 200 // SHARE
