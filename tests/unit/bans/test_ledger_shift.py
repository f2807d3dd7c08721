"""What the ledger makes of a wall clock that is set."""

import pytest

from monitor.bans.ledger import Ledger
from monitor.model.addresses import host, parse_address
from monitor.model.alerts import Strength
from monitor.model.bans import Ban

NOW_S = 1_700_000_000.0
BANTIME_S = 600.0


def _ban(number: int, since_s: float) -> Ban:
    network = host(parse_address(f"192.0.2.{number}"))
    return Ban(network, Strength.PROVEN, since_s, since_s + BANTIME_S, "sshd", "")


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 86400.0 * 365])
def test_bans_keep_the_time_they_had_left(step_s: float) -> None:
    """Whichever way the clock is set, a ban ends when its time has passed and not before, and so it is on record."""
    ledger = Ledger(max_bans=100)
    ledger.put(_ban(1, NOW_S))
    ledger.put(_ban(2, NOW_S - BANTIME_S + 5))
    assert ledger.expire(NOW_S + 1) == []
    now_s = NOW_S + 2 + step_s
    written = {claim.network: claim for claim in ledger.shift(step_s, now_s - 1, now_s)}
    assert ledger.expire(now_s) == []
    assert written[_ban(1, 0).network].until_s == NOW_S + step_s + BANTIME_S
    assert [ban.network for ban, _, _ in ledger.expire(now_s + 4)] == [_ban(2, 0).network]
    assert [ban.network for ban, _, _ in ledger.expire(now_s + BANTIME_S)] == [_ban(1, 0).network]
    assert len(ledger) == 0


def test_bans_of_the_new_clock_stay() -> None:
    """What was banned after the clock was set, before anybody noticed, has its right end already."""
    ledger = Ledger(max_bans=100)
    now_s = NOW_S + 3600
    ledger.put(_ban(1, now_s - 0.5))
    ledger.shift(3600.0, now_s - 1, now_s)
    assert [ban.until_s for ban in ledger.bans()] == [now_s - 0.5 + BANTIME_S]
