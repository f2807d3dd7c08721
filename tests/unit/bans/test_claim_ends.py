"""Claims of one network end one by one, and what is only observed or over holds nothing."""

from pathlib import Path

import pytest

from monitor.bans.claims import Rank, rank
from monitor.bans.decision import Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import host, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from tests.support.policy import decide, small_table

PROVEN = Strength.PROVEN
NETWORK = parse_network("192.0.2.1")
LISTED = Ban(NETWORK, PROVEN, 0.0, 9000.0, "tor", "", Mode.ENFORCE, ClaimOrigin.LIST)
OBSERVED = Ban(NETWORK, PROVEN, 0.0, 9999.0, "web", "", Mode.OBSERVE)
EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")


def ranks(ledger: Ledger) -> list[int]:
    """Return how strongly each network is held."""
    return [rank(ban, ledger.claims(ban.network, ban.strength)) for ban in ledger.bans()]


def counted(ledger: Ledger) -> list[int]:
    """Return how many bans the ledger believes to have of each rank."""
    return ledger.count_by_rank()


def test_a_claim_that_is_only_observed_does_not_hold_a_list_entry() -> None:
    """A detector on trial neither makes a list's entry stronger nor takes it out of what lists may hold."""
    ledger = Ledger(max_bans=8)
    ledger.put(LISTED)
    ledger.put(OBSERVED)
    assert (ledger.bulk, ranks(ledger)) == (1, [Rank.LIST])


def test_a_claim_that_is_over_holds_nothing_and_leaves_the_ban_to_the_others() -> None:
    """When a detector's ten minutes are over, the list's entry is a list's entry again, and the ban stays."""
    ledger = Ledger(max_bans=8)
    ledger.put(LISTED)
    ledger.put(Ban(NETWORK, PROVEN, 0.0, 600.0, "sshd", ""))
    assert (ledger.bulk, ranks(ledger)) == (0, [Rank.PROVEN])
    ((before, ended, remaining),) = ledger.expire(600.0)
    assert (before.until_s, [claim.detector for claim in ended], remaining) == (9000.0, ["sshd"], LISTED)
    assert (ledger.bulk, ranks(ledger), counted(ledger)[Rank.LIST]) == (1, [Rank.LIST], 1)
    ((before, ended, remaining),) = ledger.expire(9000.0)
    assert (before, ended, remaining) == (LISTED, (LISTED,), None)


def test_lists_cannot_keep_the_room_that_detectors_used() -> None:
    """Detectors banned listed addresses and their bans are over: on a full ledger the list yields to new ones."""
    ledger = Ledger(max_bans=8)
    rules = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0)})
    some = Policy(Guard([]), ledger, rules, lambda: 0.0)
    for number in range(8):
        network = host(bytes((192, 0, 2, number)))
        ledger.put(Ban(network, PROVEN, 0.0, 9000.0, "tor", "", Mode.ENFORCE, ClaimOrigin.LIST))
        ledger.put(Ban(network, PROVEN, 0.0, 600.0, "sshd", ""))
    ledger.expire(600.0)
    source = host(bytes((198, 51, 100, 7)))
    (decision,) = decide(some, Alert("sshd", 700.0, source.address, source, True, PROVEN, EVIDENCE), 700.0)
    assert decision.verdict is Verdict.BAN
    assert decision.yielding is not None


@pytest.mark.parametrize("other", [LISTED, OBSERVED])
def test_the_store_forgets_each_claim_that_ends(tmp_path: Path, other: Ban) -> None:
    """A claim that ended a moment before another came is struck out of the store, and counts as no end of a ban."""
    saver = Saver(tmp_path / "nodewarden.db")
    saver.open()
    stages = Pipeline(Settings(), (), small_table, (DecisionRecord(saver),))
    first = Ban(NETWORK, PROVEN, 0.0, 600.0, "sshd", "")
    stages.ledger.put(first)
    saver.put_ban(first)
    stages.ledger.put(other, 600.5)
    saver.put_ban(other)
    stages.tick(601.0)
    assert saver.flush(10)
    assert saver.store is not None
    assert list(saver.store.bans()) == list(stages.ledger.all_claims()) == [other]
    saver.close()


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_leaves_the_counts_right(step_s: float) -> None:
    """A ban that seemed over when somebody observed its source is in force again once the clock's step is known."""
    ledger = Ledger(max_bans=8)
    now_s = 10_000.0
    ledger.put(Ban(NETWORK, PROVEN, now_s - 100, now_s + 500, "sshd", ""))
    set_s = now_s + step_s
    ledger.put(Ban(NETWORK, PROVEN, set_s + 0.5, set_s + 5000, "web", "", Mode.OBSERVE), set_s + 0.5)
    ledger.shift(step_s, set_s, set_s + 1)
    (ban,) = ledger.bans()
    assert (ban.mode, ban.until_s) == (Mode.ENFORCE, set_s + 500)
    assert (ledger.count(Mode.ENFORCE, PROVEN), ledger.count(Mode.OBSERVE, PROVEN)) == (1, 0)
    assert counted(ledger)[Rank.PROVEN] == 1


def test_what_was_beyond_the_budget_is_no_offence() -> None:
    """It was not in force: it is not on record, so a restart does not make the next ban longer either."""
    rules = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0)}, bans_per_minute=1)
    some = Policy(Guard([]), Ledger(max_bans=8), rules, lambda: 0.0)
    sources = [host(bytes((198, 51, 100, number))) for number in range(2)]
    alerts = [Alert("sshd", 0.0, one.address, one, True, PROVEN, EVIDENCE) for one in sources]
    decisions = [one for alert in alerts for one in decide(some, alert, 0.0)]
    assert [one.verdict for one in decisions] == [Verdict.BAN, Verdict.OVER_BUDGET]
    assert [one.offence is not None for one in decisions] == [True, False]
