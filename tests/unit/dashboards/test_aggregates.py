"""Recorded sums: the committed rules are what the code makes, and whole numbers of events come out of them."""

from pathlib import Path

import pytest

from dashboards import queries as q
from dashboards.aggregates import AGGREGATES, RATE, RISE, rules_text, smallest
from monitor.daemon.catalogue import BY_NAME
from tests.support.dashboards import NAMES, filled, queries
from tests.unit.dashboards.promql import selectors
from tests.unit.rules import support

_RECORDED = "instance_detector_verdict:nodewarden_decisions:increase15s"


def test_the_committed_rules_are_what_the_code_makes() -> None:
    """`make dashboards` would change nothing."""
    assert (support.RULES / "aggregates.yaml").read_text() == rules_text(), "run make dashboards and commit"


def test_what_is_summed_up_is_shown() -> None:
    """Each recorded sum is of a counter that has these labels, and some board asks for it: others cost for nothing."""
    asked = {name for board in NAMES for one in queries(board) for name, _ in selectors(filled(one.expression))}
    for one in AGGREGATES:
        assert set(one.labels) - {"le"} <= set(BY_NAME[one.counter.removesuffix("_bucket")].labels)
        assert one.name in asked, one.name


@pytest.mark.parametrize("board", NAMES)
def test_no_board_asks_a_counter_that_is_summed_up(board: str) -> None:
    """Where a recorded sum has the labels that a query uses, the query takes it."""
    for asked in queries(board):
        for name, chosen in selectors(filled(asked.expression)):
            labels = frozenset(chosen) - {"job", "cluster", "instance"}
            if not (asked.is_instant or asked.panel.startswith("mark: ") or asked.legend == "examples"):
                assert not smallest(name, RISE, labels), (asked.panel, name)


def test_the_sum_with_the_fewest_series_is_taken() -> None:
    """One by node where no label is asked for, one by reason where reasons are; the counter itself for all others."""
    drops = "nodewarden_kernel_dropped_packets_total"
    assert "instance:nodewarden_kernel_dropped_packets:rate2m" in q.per_second(drops)
    assert "instance_reason:nodewarden_kernel_dropped_packets:rate2m" in q.per_second(drops, by="reason")
    assert f"rate({drops}" in q.per_second(drops, 'foreign="no"', by="reason")
    assert smallest("nodewarden_config_reloads_total", RATE, frozenset()) is None


def test_an_event_is_counted_once_whenever_it_is_scraped(tmp_path: Path) -> None:
    """Rises of a counter are whole numbers and add up, over a restart and a series that is new."""
    counter = support.series("nodewarden_decisions_total", 'detector="port_scan",verdict="ban"')
    new = support.series("nodewarden_decisions_total", 'detector="sshd",verdict="ban"')
    total = f"sum(sum_over_time({_RECORDED}[10m]))"
    support.run(
        tmp_path,
        {counter: "7 7 8 8 8 0 3 3", new: "_ _ _ 40 40 40 41 41"},
        expressions=[{"expr": total, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": 5}]}],
        files=("aggregates.yaml",),
        interval="15s",
    )
