"""Longer bans for repeat offenders, prefixes full of them, and the brake."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bans.budget import Budget
from monitor.bans.decision import Decision, Verdict
from monitor.bans.escalation import Escalation, Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import Ladder, Recidive, steps_of
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.model.addresses import host, network_of, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import PREFIX, RECIDIVE, AllowEntry, Mode, Offence
from tests.support.policy import decide, order

EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")
DAY_S = 86400.0


def policy(rules: Rules, allowed: str = "192.0.2.53") -> Policy:
    """Return a policy with these rules; jitter is half of what it may be."""
    guard = Guard([AllowEntry(parse_network(allowed), "x")])
    return Policy(guard, Ledger(max_bans=10_000), rules, lambda: 0.5)


def rules(**changes: object) -> Rules:
    """Return rules with a detector of ten-minute bans."""
    base = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0), "web": DetectorPolicy(Mode.ENFORCE, 600.0)})
    return msgspec.structs.replace(base, **changes)


def alert(
    source: str, time_s: float, *, detector: str = "sshd", strength: Strength = Strength.PROVEN, alone: bool = True
) -> Alert:
    """Return an alert; IPv6 sources are scored as their /64."""
    address = parse_address(source)
    network = host(address) if len(address) == 4 else network_of(address, 64)
    return Alert(detector, time_s, address, network, alone, strength, EVIDENCE)


def bantimes(some: Policy, alerts: list[Alert]) -> list[float]:
    """Return the time of each ban that follows from alerts."""
    bans = [decision.ban for one in alerts for decision in decide(some, one, one.time_s)]
    return [ban.until_s - ban.since_s for ban in bans if ban]


def test_ban_times_double() -> None:
    """Each repetition doubles, as fail2ban's default formula, up to the maximum."""
    some = policy(rules(increment=Increment(maxtime_s=6000.0)))
    alerts = [alert("198.51.100.7", time_s) for time_s in (0.0, 2000.0, 4000.0, 8000.0, 16000.0)]
    assert bantimes(some, alerts) == [600.0, 1200.0, 2400.0, 4800.0, 6000.0]


def test_multipliers_and_jitter() -> None:
    """Multipliers take the place of doubling, the last one serves on; jitter is added at random."""
    increment = Increment(multipliers=(1.0, 5.0, 30.0), rndtime_s=100.0)
    assert [increment.bantime_s(60.0, step, lambda: 0.5) for step in range(5)] == [60.0, 350.0, 1850.0, 1850.0, 1850.0]


def test_a_detectors_own_bantime_is_never_cut() -> None:
    """Where a detector bans for longer than the maximum of growth, it still does."""
    assert Increment(maxtime_s=60.0).bantime_s(600.0, 3, lambda: 0.0) == 600.0


def test_quiet_is_forgiven_step_by_step() -> None:
    """After each decay time without an offence one step is forgiven."""
    some = Escalation(Increment(decay_s=DAY_S))
    network = parse_network("198.51.100.7")
    for time_s in (0.0, 10.0, 20.0):
        some.count(Offence(time_s, network, "sshd", Strength.PROVEN, Mode.ENFORCE, 60.0, 0, ""))
    assert [some.step(network, "sshd", 20.0 + days * DAY_S) for days in (0, 0.9, 1, 2, 3, 9)] == [3, 3, 2, 1, 0, 0]


@pytest.mark.parametrize(("overalljails", "second_s"), [(True, 1200.0), (False, 600.0)])
def test_overalljails_counts_all_detectors_together(overalljails: bool, second_s: float) -> None:
    """An offence against another detector counts only with overalljails."""
    some = policy(rules(increment=Increment(overalljails=overalljails)))
    alerts = [alert("198.51.100.7", 0.0), alert("198.51.100.7", 5000.0, detector="web")]
    assert bantimes(some, alerts) == [600.0, second_s]


def test_forged_evidence_does_not_escalate() -> None:
    """Who forges somebody's address again and again cannot have him banned for longer, unless configured so."""
    times = [0.0, 2000.0, 4000.0]
    alerts = [alert("198.51.100.7", time_s, strength=Strength.SPOOFABLE) for time_s in times]
    assert bantimes(policy(rules(recidive_maxretry=2)), alerts) == [600.0] * 3
    assert bantimes(policy(rules(escalate_spoofable=True)), alerts) == [600.0, 1200.0, 2400.0]


@pytest.mark.parametrize("escalates", [False, True])
def test_destinations_do_not_escalate(escalates: bool) -> None:
    """A destination called again and again gets no longer ban, no week, no prefix; nor does it lengthen bans."""
    some = policy(
        rules(recidive_maxretry=2, escalate_spoofable=escalates, ladder=tuple(steps_of({"ipv4_24": 2, "ipv6_56": 2})))
    )
    calls = [
        alert(f"198.51.100.{last}", time_s, strength=Strength.DESTINATION)
        for last, time_s in ((7, 0.0), (8, 1.0), (7, 2000.0), (8, 2001.0), (7, 4000.0))
    ]
    assert bantimes(some, calls) == [600.0] * 5
    assert {ban.detector for ban in some.ledger.bans()} == {"sshd"}
    assert bantimes(some, [alert("198.51.100.7", 6000.0)]) == [600.0]


def test_the_number_of_known_offenders_is_bounded() -> None:
    """A million offenders leave the table at its bound, the latest known."""
    some = Escalation(Increment(), max_networks=100)
    for number in range(1000):
        network = host(number.to_bytes(4))
        some.count(Offence(float(number), network, "x", Strength.PROVEN, Mode.ENFORCE, 60.0, 0, ""))
    assert len(some) == 100
    assert some.step(host((999).to_bytes(4)), "x", 1000.0) == 1
    assert some.step(host((0).to_bytes(4)), "x", 1000.0) == 0


def test_a_restart_forgives_nothing() -> None:
    """A policy that is told the recorded history goes on where the old one stopped, recidive included."""
    some = rules(recidive_maxretry=3)
    old = policy(some)
    decisions = [one for time_s in (0.0, 2000.0) for one in decide(old, alert("198.51.100.7", time_s), time_s)]
    new = policy(some)
    new.remember(one.offence for one in decisions if one.offence)
    decisions = decide(new, alert("198.51.100.7", 9000.0), 9000.0)
    assert [decision.detector for decision in decisions] == ["sshd", RECIDIVE]
    assert decisions[0].ban is not None
    assert decisions[0].ban.until_s == 9000.0 + 2400.0


def test_recidivists_are_banned_for_long() -> None:
    """The third ban within a day, by whatever detectors, becomes one of a week."""
    some = policy(rules(recidive_maxretry=3, recidive_bantime_s=7 * DAY_S, increment=Increment(enabled=False)))
    times = [(0.0, "sshd"), (2000.0, "web"), (4000.0, "sshd")]
    decisions = [decide(some, alert("198.51.100.7", time_s, detector=name), time_s) for time_s, name in times]
    assert [[decision.detector for decision in one] for one in decisions] == [["sshd"], ["web"], ["sshd", RECIDIVE]]
    assert [decision.verdict for decision in decisions[-1]] == [Verdict.BAN, Verdict.REFRESH]
    ban = some.ledger.get(parse_network("198.51.100.7"), Strength.PROVEN)
    assert ban is not None
    assert ban.until_s == 4000.0 + 7 * DAY_S


def test_bans_far_apart_make_no_recidivist() -> None:
    """Three bans in three days are below three within one."""
    some = Recidive(maxretry=3, findtime_s=DAY_S, bantime_s=1.0)
    offences = [
        Offence(day * DAY_S, parse_network("198.51.100.7"), "x", Strength.PROVEN, Mode.ENFORCE, 60.0, 0, "")
        for day in (0, 0.7, 1.4)
    ]
    assert [some.crosses(offence) for offence in offences] == [False] * 3


def test_many_offenders_ban_their_prefix() -> None:
    """The fourth distinct /64 of a /56 bans the /56; the same one again and again does not."""
    some = policy(rules(ladder=tuple(steps_of({"ipv6_56": 4, "ipv6_48": 100, "ipv4_24": 0}))))
    decisions: list[Decision] = []
    for number, subnet in enumerate((1, 1, 1, 2, 3, 4)):
        time_s = number * 10_000.0
        decisions += decide(some, alert(f"2001:db8:0:{subnet:x}::7", time_s), time_s)
    prefixes = [decision for decision in decisions if decision.detector == PREFIX]
    assert [str(decision.network) for decision in prefixes] == ["2001:db8::/56"]
    assert prefixes[0].verdict is Verdict.BAN


def test_a_prefix_with_somebody_allowed_in_it_is_left_alone() -> None:
    """A /64 that holds the resolver is not banned, its offender alone is; a crowd in it is nobody's proof."""
    some = policy(rules(), allowed="2001:db8::53")
    (decision,) = decide(some, alert("2001:db8::7", 0.0), 0.0)
    assert (decision.verdict, str(decision.network)) == (Verdict.BAN, "2001:db8::7")
    (crowd,) = decide(some, alert("2001:db8::8", 0.0, alone=False), 0.0)
    assert crowd.verdict is Verdict.ALLOWLISTED


def test_beyond_the_budget_bans_are_only_observed() -> None:
    """The third ban of a minute with a budget of two is observed; later there is budget again; hands are free."""
    some = policy(rules(bans_per_minute=2))
    verdicts = [decide(some, alert(f"198.51.100.{n}", 0.0), 0.0)[0].verdict for n in range(4)]
    assert verdicts == [Verdict.BAN, Verdict.BAN, Verdict.OVER_BUDGET, Verdict.OVER_BUDGET]
    assert some.budgets.exceeded(30.0) == [Strength.PROVEN]
    assert order(some, parse_network("198.51.100.9"), Strength.PROVEN, 60.0, 0.0).verdict is Verdict.BAN
    assert decide(some, alert("198.51.100.3", 31.0), 31.0)[0].verdict is Verdict.BAN
    assert some.ledger.count(Mode.ENFORCE, Strength.PROVEN) == 4
    assert some.budgets.exceeded(91.0) == []


@given(st.lists(st.floats(0, 600), min_size=1, max_size=300), st.integers(1, 50))
def test_no_minute_has_more_than_two_budgets(times: list[float], bans_per_minute: int) -> None:
    """However bans come, also out of order, any minute holds at most what was saved and what was earned in it."""
    budget = Budget(bans_per_minute)
    spent = [time_s for time_s in sorted(times) if budget.spend(time_s)]
    for start_s in spent:
        assert sum(start_s <= time_s < start_s + 60.0 for time_s in spent) <= 2 * bans_per_minute
    assert len(spent) + budget.refused_total == len(times)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 255)), max_size=100))
def test_the_ladder_counts_distinct_offenders(offenders: list[tuple[int, int]]) -> None:
    """A /24 is banned exactly when its fifth distinct offender appears, and then counts anew."""
    ladder = Ladder(steps_of({"ipv4_24": 5}), DAY_S)
    seen: dict[int, set[int]] = {}
    for subnet, last in offenders:
        network = host(bytes([198, 51, subnet, last]))
        got = ladder.climb(Offence(0.0, network, "x", Strength.PROVEN, Mode.ENFORCE, 60.0, 0, ""))
        hosts = seen.setdefault(subnet, set())
        hosts.add(last)
        if len(hosts) == 5:
            hosts.clear()
            assert got == network_of(network.address, 24)
        else:
            assert got is None
