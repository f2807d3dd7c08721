"""Nothing that anyone can forge takes room, budget or history from bans on proof and by hand."""

from collections import Counter
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans.claims import Rank
from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.notes import Note, Notes
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode, Offence, claim_key
from monitor.state.changes import StateChanges
from tests.support.policy import decide, order

PROVEN, SPOOFABLE, DESTINATION = Strength.PROVEN, Strength.SPOOFABLE, Strength.DESTINATION
EVIDENCE = Evidence(15, 15, 600.0, 0.0, 1.0, "distinct ports")
MAX_BANS, MAX_OBSERVED, MAX_PREFIXES = 6, 3, 2
RULES = Rules(
    {"port_scan": DetectorPolicy(Mode.ENFORCE, 600.0), "trial": DetectorPolicy(Mode.OBSERVE, 600.0)},
    bans_per_minute=1_000_000,
)
ORIGINS = (ClaimOrigin.LIST, ClaimOrigin.IMPORT, ClaimOrigin.PEER, ClaimOrigin.OPERATOR)
ADDRESSES = st.integers(1, 25).map(lambda number: host((0xC6336400 + number).to_bytes(4)))
PREFIXES = st.integers(1, 5).map(lambda number: Network((0x0B000000 + (number << 8)).to_bytes(4), 24))
WHO = st.sampled_from(("port_scan", "trial", "port_scan", "trial", *ORIGINS))
STEPS = st.lists(
    st.tuples(WHO, st.one_of(ADDRESSES, PREFIXES), st.sampled_from(Strength), st.sampled_from((0, 0, 0, 1, 400))),
    max_size=80,
)
Step: TypeAlias = tuple[str | ClaimOrigin, Network, Strength, int]


def alert(network: Network, strength: Strength, time_s: float = 0.0, detector: str = "port_scan") -> Alert:
    """Return an alert."""
    return Alert(detector, time_s, network.address, network, network.is_host, strength, EVIDENCE)


def numbered(number: int) -> Network:
    """Return an address."""
    return host((0x0B000000 + number).to_bytes(4))


def policy(**limits: int) -> Policy:
    """Return a policy over a small ledger."""
    ledger = Ledger(max_bans=MAX_BANS, max_observed=MAX_OBSERVED, max_prefixes=MAX_PREFIXES)
    return Policy(Guard([]), ledger, msgspec.structs.replace(RULES, **limits), lambda: 0.0)


def forgeable(ledger: Ledger) -> int:
    """Return how many bans in force a flood of forged sources can have caused."""
    return ledger.count_by_rank()[Rank.SPOOFABLE]


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_proof_and_orders_enter_as_long_as_anything_forgeable_is_there(steps: list[Step]) -> None:
    """Random alerts, orders and ends: who may be refused, who may yield, and every bound."""
    some, now_s = policy(), 0.0
    ledger = some.ledger
    for who, network, strength, wait_s in steps:
        now_s += wait_s
        ledger.expire(now_s)
        had_forgeable, before = forgeable(ledger), {ban.key: ban for ban in ledger.bans()}
        if isinstance(who, ClaimOrigin):
            decision = order(some, network, strength, 600.0, now_s, who, who.value)
        else:
            decision = decide(some, alert(network, strength, now_s, who), now_s)[0]
        is_strong = who is ClaimOrigin.OPERATOR or (who == "port_scan" and strength is PROVEN)
        if decision.verdict is Verdict.FULL:
            assert who != "trial"
            assert not (is_strong and network.is_host and had_forgeable)
        check_yielded(decision, before, ledger)
        check_bounds(ledger)


def check_yielded(decision: Decision, before: dict[bytes, Ban], ledger: Ledger) -> None:
    """Assert that only something weaker yielded, and to something observed nothing in force did."""
    gone = [ban for key, ban in before.items() if ledger.get(ban.network, ban.strength) is None]
    for ban in gone:
        if ban.mode is Mode.OBSERVE:
            assert decision.claim is not None
            assert (decision.claim.mode, decision.claim.strength) == (Mode.OBSERVE, ban.strength)
        else:
            assert decision.yielding is not None
            assert decision.yielding.key == ban.key
            assert decision.verdict is Verdict.BAN


def check_bounds(ledger: Ledger) -> None:
    """Assert that the ledger, its rings and the sets of prefixes are within their limits."""
    assert ledger.in_force <= MAX_BANS
    for strength in Strength:
        assert ledger.count(Mode.OBSERVE, strength) <= MAX_OBSERVED
        assert ledger.count_in_set(strength, 32, prefixes=True) <= MAX_PREFIXES


@pytest.mark.parametrize("later", [PROVEN, DESTINATION])
def test_a_flood_of_forged_sources_costs_nobody_else_room_or_budget(later: Strength) -> None:
    """Thousands of forged sources fill ring, room and budget of shuns; others and an order enter."""
    some = policy(bans_per_minute=5)
    some.ledger.max_bans = 20
    flood = Counter(decide(some, alert(numbered(n), SPOOFABLE, n / 100), n / 100)[0].verdict for n in range(3000))
    assert flood[Verdict.OVER_BUDGET] > 2900
    assert some.budgets.exceeded(30.0) == [SPOOFABLE]
    assert some.ledger.observed.crowded(30.0) == [SPOOFABLE]
    assert some.ledger.observed.evicted[SPOOFABLE] > 2900
    assert some.ledger.count(Mode.OBSERVE, SPOOFABLE) == MAX_OBSERVED
    for n in range(5):
        assert decide(some, alert(numbered(10_000 + n), later, 30.0), 30.0)[0].verdict is Verdict.BAN
    assert order(some, numbered(20_000), PROVEN, 600.0, 30.0).verdict is Verdict.BAN
    assert some.budgets[later].refused_total == 0


def test_forged_sources_end_no_list_and_no_peer() -> None:
    """Where lists, imports and peers hold their share, shuns get what is left, and yield to more of those."""
    some = policy()
    for n, origin in enumerate((ClaimOrigin.LIST, ClaimOrigin.IMPORT, ClaimOrigin.PEER, ClaimOrigin.LIST)):
        assert order(some, numbered(n), PROVEN, 600.0, 0.0, origin, origin.value).verdict is Verdict.BAN
    verdicts = [decide(some, alert(numbered(100 + n), SPOOFABLE), 0.0)[0].verdict for n in range(3)]
    assert verdicts == [Verdict.BAN, Verdict.BAN, Verdict.FULL]
    assert some.ledger.bulk == 4
    assert [one for one in Rank if some.ledger.is_full_for(one)] == [
        Rank.SPOOFABLE, Rank.LIST, Rank.IMPORT, Rank.PEER
    ]  # fmt: skip
    assert decide(some, alert(numbered(200), PROVEN), 0.0)[0].verdict is Verdict.BAN
    assert (some.ledger.bulk, forgeable(some.ledger)) == (4, 1)


def test_an_observed_entry_that_comes_into_force_needs_room() -> None:
    """What was only observed and is proven now counts as a new ban: the limit holds, and the weakest yields."""
    some = policy()
    for n in range(MAX_BANS):
        decide(some, alert(numbered(n), SPOOFABLE), 0.0)
    some.ledger.put(Ban(numbered(50), PROVEN, 0.0, 600.0, "trial", "", Mode.OBSERVE))
    decision = decide(some, alert(numbered(50), PROVEN), 0.0)[0]
    assert decision.verdict is Verdict.BAN
    assert decision.yielding is not None
    assert (some.ledger.in_force, some.ledger.count(Mode.OBSERVE, PROVEN)) == (MAX_BANS, 0)


def test_what_newer_entries_displaced_is_reported_once_with_its_claims() -> None:
    """The store must learn of each, and of none that came back in the meantime."""
    ledger = Ledger(max_bans=MAX_BANS, max_observed=2)
    bans = [Ban(numbered(n), SPOOFABLE, 0.0, 600.0, "port_scan", "", Mode.OBSERVE) for n in range(4)]
    for ban in (*bans, bans[0]):
        ledger.put(ban, 1.0)
    assert [gone for gone, _ in ledger.take_dropped()] == bans[1:3]
    assert ledger.take_dropped() == []
    assert {ban.network for ban in ledger.bans()} == {bans[0].network, bans[3].network}


def test_claims_that_end_leave_the_ring_within_its_bound() -> None:
    """Bans that end and leave an observed claim behind cannot fill the ledger beyond the ring."""
    ledger = Ledger(max_bans=MAX_BANS, max_observed=2)
    for n in range(30):
        ledger.put(Ban(numbered(n), PROVEN, 0.0, 10.0 + n, "sshd", ""))
        ledger.put(Ban(numbered(n), PROVEN, 0.0, 600.0, "trial", "", Mode.OBSERVE))
        ledger.expire(10.0 + n)
    assert len(ledger) == 2
    assert len(ledger.take_dropped()) == 28


def test_forged_offences_neither_displace_proven_ones_nor_add_up_with_them() -> None:
    """With escalate_spoofable forged offences lengthen shuns, but no ban; nor do they make a prefix or a week of it."""
    some = policy(escalate_spoofable=True, recidive_maxretry=3)
    for n in range(2):
        decide(some, alert(numbered(1), SPOOFABLE, 1000.0 * n), 1000.0 * n)
    some.ledger.expire(9000.0)
    decisions = decide(some, alert(numbered(1), PROVEN, 9000.0), 9000.0)
    assert [(one.detector, one.step) for one in decisions] == [("port_scan", 0)]


def test_notes_on_forged_sources_displace_no_others() -> None:
    """After ten thousand forged sources `why` still knows what a proven offender did."""
    notes = Notes()
    notes.note(b"\1\1\1\1", Note(1.0, Verdict.BAN, alert(numbered(0), PROVEN)))
    notes.note(b"\1\1\1\1", Note(0.5, Verdict.BAN, alert(numbered(0), SPOOFABLE)))
    for n in range(10_000):
        notes.note(n.to_bytes(4), Note(2.0, Verdict.OVER_BUDGET, alert(numbered(0), SPOOFABLE)))
    assert [note.time_s for note in notes.notes(b"\1\1\1\1")] == [1.0]


def test_forged_offences_that_wait_for_the_disk_go_first() -> None:
    """While nothing can be saved, a flood drops its own offences; proven ones go only for others of their kind."""
    changes = StateChanges()
    offence = Offence(0.0, numbered(1), "sshd", PROVEN, Mode.ENFORCE, 60.0, 0, "")
    dropped = 0
    for n in range(20):
        for strength in (SPOOFABLE, PROVEN, SPOOFABLE):
            kind = msgspec.structs.replace(offence, strength=strength, time_s=float(n))
            dropped += changes.add_offence(kind, 10)
    assert [one.time_s for one in changes.offences] == [float(n) for n in range(10, 20)]
    assert (len(changes.forgeable), dropped) == (0, 50)


def test_removals_of_forged_claims_that_wait_for_the_disk_go_first() -> None:
    """While nothing can be saved, a flood of entries that come and go does not bring back what an operator lifted."""
    changes = StateChanges()
    lifted = Ban(numbered(1), PROVEN, 0.0, 600.0, "manual", "", Mode.ENFORCE, ClaimOrigin.OPERATOR)
    changes.remove_ban(claim_key(lifted))
    for n in range(100):
        changes.remove_ban(claim_key(Ban(numbered(n), SPOOFABLE, 0.0, 600.0, "port_scan", "", Mode.OBSERVE)))
    assert changes.bound_removals(10) == 91
    assert claim_key(lifted) in changes.all_ended()
    changes.put_ban(lifted)
    assert (len(changes), claim_key(lifted) in changes.all_ended()) == (10, False)


def test_what_peers_name_displaces_no_observed_entry_of_a_detector() -> None:
    some = Ledger(max_bans=100, max_observed=4)
    for number in range(10):
        name, origin = ("sshd", ClaimOrigin.DETECTOR) if number < 4 else ("peer", ClaimOrigin.PEER)
        network = host(bytes((198, 51, 100, number)))
        some.put(Ban(network, PROVEN, 0.0, 100.0, name, "", Mode.OBSERVE, origin))
    assert [ban.detector for ban in some.bans()] == ["sshd"] * 4 + ["peer"] * 4
    local = host(bytes((198, 51, 100, 9)))
    some.put(Ban(local, PROVEN, 0.0, 100.0, "sshd", "", Mode.OBSERVE))  # it is a detector's now, too
    assert next(str(ban.network) for ban in some.bans() if ban.detector == "sshd") == "198.51.100.1"
