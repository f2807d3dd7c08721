"""Enforcers that follow, and listeners, degrade alone: whatever they raise, bans are as they would be without them."""

from collections.abc import Sequence
from typing import NoReturn, cast

import pytest

from monitor.bans.decision import Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.daemon.pipeline.ban_control import BanControl
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.listeners import Listener, Listeners
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.protocol import Enforcer, Failure, Leader
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError
from tests.support.ban_core import RULES, Notebook, alert_on

NOW_S = 1_700_000_000.0
NETWORKS = [parse_network(f"198.51.100.{number}") for number in range(4)]


class _Leader:
    """A kernel that does as it is told."""

    name = "nftables"
    generation = 1

    def __init__(self) -> None:
        self.held: dict[Network, float] = {}

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        self.held |= {ban.network: ban.until_s for ban in bans}
        return []

    refresh = add

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        for ban in bans:
            self.held.pop(ban.network, None)

    def flush(self) -> None:
        self.held.clear()


class _Broken:
    """Raises whatever it is asked, as an enforcer or as a listener."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def _fail(self, *_: object) -> NoReturn:
        raise self._error

    alerted = flooded = settled = ended = moved = drifted = troubled = tick = _fail
    add = refresh = remove = allow = flush = _fail


@pytest.mark.parametrize("error", [TemporaryError("no room"), OSError(12, "no memory"), KeyError("bug"), ValueError()])
def test_whatever_others_raise_bans_are_as_without_them(error: Exception) -> None:
    """Bans, later ends, lifted bans, ends and a flush: all as alone, and the failures counted by name."""
    ledgers = []
    for others in ((), (_Broken(error),)):
        leader, record, metrics = _Leader(), Notebook(), DecisionMetrics()
        enforcers = Enforcement(cast("Leader", leader), *(cast("Enforcer", one) for one in others))
        listeners = Listeners([*(cast("Listener", one) for one in others), metrics, DecisionRecord(record)])
        policy = Policy(Guard([]), Ledger(max_bans=10), RULES)
        bans = BanControl(policy, enforcers, listeners)
        draft = policy.draft(NOW_S)
        alerts = [alert_on(network, NOW_S) for network in NETWORKS]
        for alert in alerts:
            policy.propose(draft, alert)
        assert {one.verdict for one in bans.carry_out(draft, alerts)} == {Verdict.BAN}
        draft = policy.draft(NOW_S)
        policy.order(draft, NETWORKS[0], Strength.PROVEN, 5000.0, "")
        assert [one.verdict for one in bans.carry_out(draft)] == [Verdict.REFRESH]
        bans.unban(NETWORKS[1:2], NOW_S)
        bans.lift([ban for ban in policy.ledger.bans() if ban.network == NETWORKS[2]], NOW_S)
        bans.tick(NOW_S + 1000)
        assert set(record.claims) == {key for key in record.claims if key[0] == NETWORKS[0]}
        assert metrics.decisions["login_failures", Verdict.BAN] == 4
        ledgers.append(({ban.network: ban.until_s for ban in policy.ledger.bans()}, dict(leader.held), record.claims))
        if others:
            assert listeners.errors["broken"] > 4
            assert enforcers.errors["broken"] >= 4
            assert enforcers.faults["broken"]
        bans.flush(NOW_S)
        assert leader.held == {}
        assert record.claims == {}
    assert ledgers[0] == ledgers[1]
    assert ledgers[0][0] == {NETWORKS[0]: NOW_S + 5000}
