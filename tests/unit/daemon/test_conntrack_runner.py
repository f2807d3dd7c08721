"""What the runner of connection tracking says of the table."""

import pytest

from monitor.model.flows import ListenTotals
from monitor.sources.conntrack.health import TableHealth
from monitor.sources.conntrack.runner import ConntrackRunner
from monitor.sources.conntrack.settings import ConntrackSettings


def test_a_table_that_is_nearly_full_is_a_problem() -> None:
    """From nine tenths on, with the numbers and the sysctl that helps; without a limit nothing can be said."""
    runner = ConntrackRunner(ConntrackSettings(), lambda _: None)
    assert runner.pressure() == runner.problems() == []
    for entries, limit, is_problem in ((89, 100, False), (90, 100, True), (90, 0, False)):
        runner._health = TableHealth(entries, limit, {})
        assert bool(runner.pressure()) is is_problem
        assert all("nf_conntrack_max" in text and "90 of 100" in text for text in runner.pressure())


def test_a_change_is_told_twice_and_nothing_each_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What TCP accepted is settled a second later with what connection tracking reports by then, not ten."""
    runner = ConntrackRunner(ConntrackSettings(), lambda _: None)
    now_s = 1000.0
    monkeypatch.setattr("monitor.sources.conntrack.runner.time.monotonic", lambda: now_s)

    def told(seconds: float, accepted: int) -> bool:
        nonlocal now_s
        now_s += seconds
        return runner._has_to_tell(0, ListenTotals(0, 0, 0, accepted))

    assert [told(1.0, 5) for _ in range(4)] == [True, True, False, False]
    assert [told(1.0, 6) for _ in range(4)] == [True, True, False, False]
    assert not told(7.9, 6)
    assert told(0.1, 6)
    assert not told(1.0, 6)
