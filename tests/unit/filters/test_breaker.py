"""A filter that takes too long loses long lines, for a while; others and ordinary lines do not suffer."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters import breaker
from monitor.filters.breaker import SLOW_S, Breaker
from monitor.filters.definition import FilterDefinition
from monitor.filters.matcher import LogMatcher
from monitor.model.logs import LogBlock

_BOTH = (0, 1)


def _flood(one: Breaker, length: int, now_s: float, number: int | None = 0) -> float:
    """Charge slow lines until they are skipped; return what they cost."""
    cost_s = 0.0
    while one.allowed(_BOTH, length, now_s) == _BOTH:
        one.charge(number, length, 0.05, now_s)
        cost_s += 0.05
    return cost_s


def test_few_slow_lines_change_nothing() -> None:
    """A slow line now and then stays within the share of time."""
    one = Breaker()
    for minute in range(1000):
        one.charge(0, 8000, 0.1, 60.0 * minute)
        assert one.allowed(_BOTH, 8000, 60.0 * minute) == _BOTH
    assert one.limits == {}


def test_a_flood_of_slow_lines_is_skipped() -> None:
    """Only by the expression that was slow, and only lines of more than half the length."""
    one = Breaker()
    assert _flood(one, 8000, 0.0) < 0.3
    assert one.allowed(_BOTH, 8000, 1.0) == [1]
    assert one.allowed(_BOTH, 4001, 1.0) == [1]
    assert one.allowed(_BOTH, 4000, 1.0) == _BOTH
    assert one.paused(1.0) == {0: 4000}


def test_shorter_slow_lines_lower_the_limit() -> None:
    """However short the lines are that an attacker finds, the time that they take is bounded."""
    one = Breaker()
    cost_s = sum(_flood(one, 2**power, 0.0) for power in range(16, 0, -1))
    assert cost_s < 2.5
    assert one.paused(0.0) == {0: 1}


def test_one_slow_line_after_the_pause_begins_a_longer_one() -> None:
    """The pause doubles each time, up to ten minutes; after as long without a slow line all is as before."""
    one = Breaker()
    _flood(one, 8000, 0.0)
    now_s, pauses = 0.0, []
    for _ in range(10):
        start_s = now_s
        while one.allowed(_BOTH, 8000, now_s) != _BOTH:
            now_s += 1.0
        pauses.append(now_s - start_s)
        one.charge(0, 8000, 0.05, now_s)
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert one.allowed(_BOTH, 8000, now_s + 1300.0) == _BOTH
    assert one.limits == {}


def test_what_is_common_to_all_expressions_pauses_all() -> None:
    """A slow prefregex says nothing of a single failregex."""
    one = Breaker()
    while one.allowed(_BOTH, 8000, 0.0):
        one.charge(None, 8000, 0.05, 0.0)
    assert one.allowed(_BOTH, 100, 0.0) == _BOTH


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=True), st.floats(0.0, 2.0))
def test_time_is_bounded_whatever_comes(random: Random, longest_pause_s: float) -> None:
    """Lines of any length and cost at any pace take a bounded start, and a small share of time from then on."""
    one, now_s, cost_s = Breaker(), 0.0, 0.0
    for _ in range(500):
        length, line_s = int(2 ** random.uniform(1.0, 16.0)), random.uniform(SLOW_S, 0.13)
        now_s += random.uniform(0.0, longest_pause_s)
        if one.allowed((0,), length, now_s):
            one.charge(0, length, line_s, now_s)
            cost_s += line_s
    levels = 17
    assert cost_s <= (levels + 1) * (breaker._BUDGET_S + 0.13) + 2 * breaker._SHARE * now_s


def test_lines_of_another_filter_are_found() -> None:
    """One filter is slow on every line of a log: the other, on the same log, finds all, and the first ordinary ones."""
    definitions = {
        "slow": FilterDefinition(name="slow", failregex=(r"^(?:\w+\s?)+ from <ADDR>$", r"^no <ADDR>$")),
        "sound": FilterDefinition(name="sound", failregex=(r"from <ADDR>$",)),
    }
    matcher = LogMatcher(definitions, confirm_timeout_s=0.02)
    lines = [f"{'a b' * 400}! from 192.0.2.{number}\n" for number in range(100)]
    block = LogBlock("/log", ("slow", "sound"), "".join([*lines, "no 192.0.2.1\n", "a from 192.0.2.2\n"]).encode(), 1e9)
    found = [event.detector for event in matcher.scan(block)]
    assert (found.count("sound"), found.count("slow")) == (101, 2)
    stats = matcher.stats["slow"]
    assert stats.timeouts + stats.skipped == 100
    assert stats.skipped > 50  # how many depends on the time that the machine takes
