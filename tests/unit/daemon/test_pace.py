"""How often ticks are done in full."""

from monitor.daemon.life.pace import REST_AFTER_TICKS, REST_TICKS, Pace


def test_news_have_each_tick_done() -> None:
    """While something happens each second is a tick, as without any pace."""
    pace = Pace()
    assert all(pace.is_due(has_news=True) for _ in range(20))


def test_a_quiet_daemon_looks_each_third_second() -> None:
    """Nothing that reports itself to nobody is found later than that, however long it was quiet."""
    pace = Pace()
    due = [pace.is_due(has_news=False) for _ in range(100)]
    assert all(due[:REST_AFTER_TICKS])
    for start in range(len(due) - REST_TICKS + 1):
        assert any(due[start : start + REST_TICKS])
    assert sum(due) <= REST_AFTER_TICKS + len(due) // REST_TICKS


def test_news_end_the_rest_at_once() -> None:
    """The tick in which something was found is done in full, and those after it."""
    for quiet in range(20):
        pace = Pace()
        for _ in range(quiet):
            pace.is_due(has_news=False)
        assert pace.is_due(has_news=True)
        assert all(pace.is_due(has_news=False) for _ in range(REST_AFTER_TICKS))
