"""What the runner of connection tracking says of the table."""

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
