"""How often ticks are done in full."""

import itertools

import pytest

from monitor.daemon.life.pace import CURRENT_S, LONG_REST_S, REST_AFTER_TICKS, REST_S, Pace


def test_news_have_each_tick_done() -> None:
    """While something happens each second is a tick, as without any pace."""
    pace = Pace()
    assert all(pace.is_due(second, has_news=True) and not pace.is_resting for second in range(20))


@pytest.mark.parametrize(("rest_s", "long_s"), [(REST_S, LONG_REST_S), (3.0, 3.0), (1.5, 1.5)])
def test_a_quiet_daemon_looks_now_and_then(rest_s: float, long_s: float) -> None:
    """Nothing that reports itself to nobody is found later than that, however long it was quiet; asked each second.

    The first rest is shorter: what came of the last news may have to be saved.
    """
    pace = Pace(rest_s)
    due = [second for second in range(200) if pace.is_due(second, has_news=False)]
    assert due[:REST_AFTER_TICKS] == [*range(REST_AFTER_TICKS)]
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert rest_s <= gaps[0] < rest_s + 1
    assert max(gaps) < long_s + 1
    assert min(gaps[1:]) >= long_s


def test_a_look_that_was_asked_for_ends_no_long_rest() -> None:
    """A scrape each 15 s has the daemon look: that is enough, and news have the next rest be short again."""
    pace = Pace()
    pace.is_due(0.0, has_news=False)
    assert pace.is_due(REST_S, has_news=False, is_asked=True)
    assert pace.left_s(REST_S) == LONG_REST_S
    for second in (25.0, 40.0, 55.0):
        assert pace.is_due(second, has_news=False, is_asked=True)
        assert not pace.is_due(second + 14, has_news=False)
    assert pace.is_due(60.0, has_news=True)
    assert pace.left_s(60.0) == REST_S


def test_news_end_the_rest_at_once() -> None:
    """The tick in which something was found is done in full, and those after it; then it rests."""
    for quiet in range(20):
        pace = Pace()
        now_s = 0.0
        for _ in range(quiet):
            now_s += 1
            pace.is_due(now_s, has_news=False)
        assert pace.is_due(now_s + 1, has_news=True)
        assert not pace.is_resting
        assert all(pace.is_due(now_s + 2 + tick, has_news=False) for tick in range(REST_AFTER_TICKS))
        assert pace.is_resting


def test_who_is_woken_looks_around_first() -> None:
    """A tick comes before what ended the rest, unless there was one just now; the rest goes on."""
    pace = Pace()
    due = [(pace.is_due(second, has_news=False), pace.is_resting) for second in range(5)]
    assert due[-1] == (False, True)
    for second, is_due in ((4 + CURRENT_S, True), (4.5 + CURRENT_S, False), (4 + 2 * CURRENT_S, True)):
        assert pace.is_due(second, has_news=False, is_asked=True) is is_due
        assert pace.is_resting


def test_a_rest_began_with_the_last_full_tick() -> None:
    """Whoever woke it without one does not have the next one come later."""
    pace = Pace()
    for second in range(3):
        pace.is_due(second, has_news=False)
    assert pace.left_s(2.0) == REST_S - 2.0
    assert not pace.is_due(2.4, has_news=False, is_asked=True)
    assert pace.left_s(4.0) == REST_S - 4.0
    assert pace.left_s(50.0) == 0.0
    assert pace.left_s(-50.0) == REST_S


def test_a_short_rest_is_short_for_who_is_woken_too() -> None:
    """Who is woken at the end of a short rest has it looked around, too."""
    pace = Pace(1.0)
    for second in range(3):
        pace.is_due(second, has_news=False)
    assert pace.is_due(3.0, has_news=False, is_asked=True)


def test_a_clock_that_was_set_back_ends_the_rest() -> None:
    """A monotonic clock does not run backwards; if one does, ticks go on."""
    pace = Pace()
    for second in range(100, 110):
        pace.is_due(second, has_news=False)
    assert pace.is_due(5.0, has_news=False)
