"""Decisions in two steps: what the kernel refuses leaves no trace, and one batch is one change for each network."""

from collections.abc import Mapping

import pytest

from monitor.bans.decision import Decision, Settlement, Verdict
from monitor.bans.draft import Draft
from monitor.bans.escalation import Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import steps_of
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import ClaimOrigin, Mode, ban_key
from tests.support.policy import decide, order, settle_all

EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")
OFFENDER = parse_network("198.51.100.7")


def policy(max_bans: int = 100, **changes: object) -> Policy:
    """Return a policy with one detector of ten-minute bans and without jitter."""
    rules = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0)}, increment=Increment(), **changes)  # type: ignore[arg-type]
    return Policy(Guard([]), Ledger(max_bans=max_bans), rules, lambda: 0.0)


def alert(time_s: float, source: str = "198.51.100.7") -> Alert:
    """Return a proven alert."""
    address = parse_address(source)
    return Alert("sshd", time_s, address, host(address), True, Strength.PROVEN, EVIDENCE)


def refuse(some: Policy, draft: Draft) -> Settlement:
    """Settle a draft of which the kernel refuses every change."""
    changes = draft.changes()
    refused: Mapping[bytes, str] = {
        ban_key(ban.network, ban.strength): "set ban4 is full" for ban in (*changes.new, *changes.longer)
    }
    return some.settle(draft, refused)


def bantime_s(decision: Decision) -> float:
    """Return how long a ban lasts."""
    assert decision.ban is not None
    return decision.ban.until_s - decision.ban.since_s


def test_refused_bans_are_no_offences() -> None:
    """After five refused bans in a row the first one that holds is that of a first offender."""
    some = policy(bans_per_minute=3, recidive_maxretry=2)
    for time_s in (0.0, 2000.0, 4000.0, 6000.0, 8000.0):
        draft = some.draft(time_s)
        some.propose(draft, alert(time_s))
        settlement = refuse(some, draft)
        (decision,) = settlement.decisions
        assert (decision.verdict, decision.ban, decision.offence) == (Verdict.REFUSED, None, None)
        assert decision.failure == "set ban4 is full"
        assert settlement.follow_ups == []
        assert len(some.ledger) == 0
        assert some.ledger.notes(parse_address("198.51.100.7")) == []
    (first, *others) = decide(some, alert(10_000.0), 10_000.0)
    assert (first.verdict, bantime_s(first), others) == (Verdict.BAN, 600.0, [])


def test_a_refused_ban_is_given_back_to_the_budget() -> None:
    """With a budget of one, a ban that was refused leaves it for the next."""
    some = policy(bans_per_minute=1)
    draft = some.draft(0.0)
    some.propose(draft, alert(0.0))
    refuse(some, draft)
    assert decide(some, alert(0.0, "198.51.100.8"), 0.0)[0].verdict is Verdict.BAN
    assert decide(some, alert(0.0, "198.51.100.9"), 0.0)[0].verdict is Verdict.OVER_BUDGET


def test_a_refused_refresh_keeps_the_ban_as_it_was() -> None:
    """The ledger has the end that the kernel has; the answer says that the longer one was refused."""
    some = policy()
    order(some, OFFENDER, Strength.PROVEN, 60.0, 1000.0)
    draft = some.draft(1010.0)
    some.order(draft, OFFENDER, Strength.PROVEN, 3600.0, "longer")
    assert [ban.until_s for ban in draft.changes().longer] == [4610.0]
    (decision,) = refuse(some, draft).decisions
    assert decision.verdict is Verdict.REFUSED
    assert [ban.until_s for ban in some.ledger.bans()] == [1060.0]


def test_what_relied_on_a_refused_ban_is_refused_too() -> None:
    """Of three orders for one address in a batch, none may answer that it is banned when the kernel took none."""
    some = policy()
    draft = some.draft(1000.0)
    for seconds in (60.0, 600.0, 30.0):
        some.order(draft, OFFENDER, Strength.PROVEN, seconds, "")
    assert len(draft.changes().new) == 1
    assert {decision.verdict for decision in refuse(some, draft).decisions} == {Verdict.REFUSED}
    assert len(some.ledger) == 0


@pytest.mark.parametrize("ends", [range(1, 201), range(200, 0, -1)])
def test_many_ends_of_one_address_are_one_change(ends: range) -> None:
    """Two hundred rising or falling ends in one batch become one ban with the latest of them."""
    some = policy()
    draft = some.draft(1000.0)
    for hours in ends:
        some.order(draft, OFFENDER, Strength.PROVEN, hours * 3600.0, "", ClaimOrigin.IMPORT, "import")
    changes = draft.changes()
    assert ([ban.until_s for ban in changes.new], changes.longer) == ([1000.0 + 200 * 3600.0], [])
    settle_all(some, draft)
    assert [ban.until_s for ban in some.ledger.bans()] == [1000.0 + 200 * 3600.0]


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_one_burst_is_one_offence(in_one_batch: bool) -> None:
    """Two alerts 13 ms apart are ten minutes, not twenty; the next burst, after the ban, is twenty."""
    some = policy()
    if in_one_batch:
        draft = some.draft(1000.02)
        some.propose(draft, alert(1000.0))
        some.propose(draft, alert(1000.013))
        decisions = settle_all(some, draft)
    else:
        decisions = [one for time_s in (1000.0, 1000.013) for one in decide(some, alert(time_s), time_s)]
    assert [decision.verdict for decision in decisions] == [Verdict.BAN, Verdict.COVERED]
    assert [bantime_s(decision) for decision in decisions[:1]] == [600.0]
    assert sum(decision.offence is not None for decision in decisions) == 1
    (late,) = decide(some, alert(1100.0), 1100.0)  # logged while the ban is in force: of the same attempts
    assert late.verdict is Verdict.REFRESH
    assert late.ban is not None
    assert late.ban.until_s == 1700.0
    some.ledger.expire(1700.0)
    (again,) = decide(some, alert(2000.0), 2000.0)
    assert (again.verdict, bantime_s(again)) == (Verdict.BAN, 1200.0)


def test_a_refused_follow_up_leaves_its_cause_in_force() -> None:
    """A prefix that the kernel refuses is no ban; the offenders inside it are, and the budget has its ban back."""
    some = policy(ladder=tuple(steps_of({"ipv4_24": 2})))
    decide(some, alert(0.0), 0.0)
    draft = some.draft(1.0)
    some.propose(draft, alert(1.0, "198.51.100.8"))
    settlement = some.settle(draft, {})
    (follow_up,) = settlement.follow_ups
    second = some.draft(1.0)
    some.follow_up(second, follow_up)
    (decision,) = refuse(some, second).decisions
    assert (str(decision.network), decision.verdict) == ("198.51.100.0/24", Verdict.REFUSED)
    assert sorted(str(ban.network) for ban in some.ledger.bans()) == ["198.51.100.7", "198.51.100.8"]


def test_imports_leave_room_for_detectors_and_operators() -> None:
    """Of a hundred bans an import gets 75; then the claim that ends first yields to detectors, not to imports."""
    some = policy(max_bans=100)
    draft = some.draft(0.0)
    for number in range(90):
        some.order(
            draft, host(bytes((192, 0, 2, number))), Strength.PROVEN, 100.0 + number, "", ClaimOrigin.IMPORT, "import"
        )
    verdicts = [decision.verdict for decision in settle_all(some, draft)]
    assert (verdicts.count(Verdict.BAN), verdicts.count(Verdict.FULL)) == (75, 15)
    for number in range(30):
        (decision,) = decide(some, alert(0.0, f"198.51.100.{number}"), 0.0)
        assert decision.verdict is Verdict.BAN
        assert (decision.yielding is None) is (number < 25)
    assert len(some.ledger) == 100
    assert some.ledger.get(host(bytes((192, 0, 2, 4))), Strength.PROVEN) is None
    assert some.ledger.get(host(bytes((192, 0, 2, 5))), Strength.PROVEN) is not None
    full = order(some, parse_network("203.0.113.1"), Strength.PROVEN, 1e6, 0.0, ClaimOrigin.IMPORT, "import")
    assert full.verdict is Verdict.FULL
