"""`bans.action`: what a reload makes of it, and where it cannot work."""

from pathlib import Path

import pytest

from monitor.bans.ledger import Ledger
from monitor.config.faults import InvalidConfigError
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.bans import Action
from monitor.settings.load import load
from tests.unit.config.support import write


def test_packets_are_dropped_unless_it_says_otherwise(tmp_path: Path) -> None:
    """The default is the one that tells a scanner nothing."""
    assert load(write(tmp_path, "{}")).settings.bans.action is Action.DROP
    assert load(write(tmp_path, "bans: {action: reject}")).settings.bans.action is Action.REJECT


def test_answers_where_xdp_drops_first_are_refused(tmp_path: Path) -> None:
    """XDP cannot answer: the operator chooses, instead of wondering."""
    assert load(write(tmp_path, "bans: {action: drop, xdp: {interfaces: [eth0]}}"))
    with pytest.raises(InvalidConfigError, match=r"1:16: bans\.action: `reject` answers nothing .* XDP drops first"):
        load(write(tmp_path, "bans: {action: reject, xdp: {interfaces: [eth0]}}"))


def test_only_a_change_makes_the_table_anew() -> None:
    """A reload with the same action does nothing, one before the table exists only remembers it."""
    made = []

    class Table(NftablesTable):
        def make(self) -> None:
            made.append(self.is_up)

    table = Table(NftablesEnforcer(max_bans=16), Ledger(max_bans=16), ())
    table.act(Action.REJECT, 1.0)
    assert made == []
    table.is_up = True
    table.act(Action.REJECT, 2.0)
    assert made == []
    table.act(Action.DROP, 3.0)
    assert made == [True]


def test_a_table_that_cannot_answer_is_a_problem_until_it_can() -> None:
    """It says what happens instead, and why."""
    table = NftablesTable(NftablesEnforcer(max_bans=16), Ledger(max_bans=16), ())
    table.note_unanswered("the kernel refused it")
    assert table.faults == {"refusals": "drops although `bans.action` is `reject`: the kernel refused it"}
    table.note_unanswered("")
    assert table.faults == {}
