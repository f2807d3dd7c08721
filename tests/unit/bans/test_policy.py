"""From alerts and orders to decisions."""

import msgspec
import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import AllowEntry, Mode
from tests.support import policy as policy_support
from tests.support.policy import order

EVIDENCE = Evidence(15, 15, 600.0, 990.0, 1000.0, "distinct ports", ("tcp/1",))
ALLOWED = AllowEntry(parse_network("192.0.2.53"), "a resolver of this node")


def alert(source: str, *, time_s: float = 1000.0, strength: Strength = Strength.SPOOFABLE) -> Alert:
    """Return an alert of the port scan detector."""
    address = parse_address(source)
    return Alert("port_scan", time_s, address, host(address), True, strength, EVIDENCE)


def rules(mode: Mode = Mode.ENFORCE) -> Rules:
    """Return rules with bans of an hour and without what follows from bans."""
    return Rules({"port_scan": DetectorPolicy(mode, 3600.0)})


def policy(mode: Mode = Mode.ENFORCE, max_bans: int = 100) -> Policy:
    """Return a policy with these rules."""
    return Policy(Guard([ALLOWED]), Ledger(max_bans=max_bans), rules(mode))


def decide(some: Policy, what: Alert, now_s: float) -> Decision:
    """Return the decision on an alert from which nothing follows."""
    (decision,) = policy_support.decide(some, what, now_s)
    return decision


def test_spoofable_evidence_shuns() -> None:
    """An alert on forgeable packets becomes a shun that counts from the alert's own time."""
    decision = decide(policy(), alert("198.51.100.7"), 1000.5)
    assert decision.verdict is Verdict.BAN
    assert decision.ban is not None
    assert (decision.ban.word, decision.ban.since_s, decision.ban.until_s) == ("shun", 1000.0, 4600.0)
    assert decision.ban.reason == "15 distinct ports"


def test_an_allowlisted_source_is_refused_with_its_entry() -> None:
    """A resolver that looks like a scanner is not banned, and the decision says what protects it."""
    decision = decide(policy(), alert("192.0.2.53"), 1000.0)
    assert (decision.verdict, decision.entry, decision.ban) == (Verdict.ALLOWLISTED, ALLOWED, None)


def test_observing_counts_once_and_bans_nothing() -> None:
    """In observe mode a scan is one would-be ban, however long it goes on, and never in force."""
    observing = policy(Mode.OBSERVE)
    verdicts = [decide(observing, alert("198.51.100.7", time_s=1000.0 + n), 1000.0 + n).verdict for n in range(3)]
    assert verdicts == [Verdict.OBSERVE, Verdict.COVERED, Verdict.COVERED]
    assert observing.ledger.count(Mode.OBSERVE, Strength.SPOOFABLE) == 1
    assert observing.ledger.count(Mode.ENFORCE, Strength.SPOOFABLE) == 0


def test_enforcing_takes_over_from_observing() -> None:
    """When a detector starts to enforce, what was only observed becomes a ban."""
    both = policy(Mode.OBSERVE)
    decide(both, alert("198.51.100.7"), 1000.0)
    both.follow(rules(Mode.ENFORCE), [])
    assert decide(both, alert("198.51.100.7", time_s=1001.0), 1001.0).verdict is Verdict.BAN


def test_a_ban_is_never_shortened() -> None:
    """A longer ban in force covers a shorter one; a later end refreshes it and keeps its beginning."""
    some = policy()
    network = parse_network("198.51.100.7")
    assert order(some, network, Strength.SPOOFABLE, 7200.0, 1000.0).verdict is Verdict.BAN
    assert decide(some, alert("198.51.100.7"), 1000.0).verdict is Verdict.COVERED
    later = decide(some, alert("198.51.100.7", time_s=6000.0), 6000.0)
    assert later.verdict is Verdict.REFRESH
    assert later.ban is not None
    assert (later.ban.since_s, later.ban.until_s) == (1000.0, 9600.0)


def test_forged_evidence_does_not_lengthen_a_proven_ban() -> None:
    """The two strengths stand apart: a shun beside a shorter ban leaves the ban's end as it was."""
    some = policy()
    network = parse_network("198.51.100.7")
    order(some, network, Strength.PROVEN, 60.0, 1000.0)
    assert decide(some, alert("198.51.100.7"), 1000.0).verdict is Verdict.BAN
    proven = some.ledger.get(network, Strength.PROVEN)
    assert proven is not None
    assert proven.until_s == 1060.0
    assert len(some.ledger) == 2


def test_a_ban_covers_a_shun_and_a_prefix_covers_its_hosts() -> None:
    """Nothing is added where a stronger or a wider ban does as much for as long."""
    some = policy()
    order(some, parse_network("198.51.100.0/24"), Strength.PROVEN, 86400.0, 1000.0)
    assert decide(some, alert("198.51.100.7"), 1000.0).verdict is Verdict.COVERED


@pytest.mark.parametrize("other", [Strength.PROVEN, Strength.SPOOFABLE])
@pytest.mark.parametrize("around", ["198.51.100.7", "198.51.100.0/24"])
def test_an_egress_ban_and_a_ban_of_a_source_never_cover_each_other(other: Strength, around: str) -> None:
    """What stops an address from calling does not stop anybody from calling it, nor the other way round."""
    wide, network = parse_network(around), parse_network("198.51.100.7")
    for first, second in ((Strength.DESTINATION, other), (other, Strength.DESTINATION)):
        some = policy()
        assert order(some, wide, first, 86400.0, 1000.0).verdict is Verdict.BAN
        assert order(some, network, second, 60.0, 1000.0).verdict is Verdict.BAN
        assert decide(some, alert("198.51.100.7", strength=second), 1000.0).verdict is Verdict.REFRESH
        assert some.ledger.get(wide, first).until_s == 87400.0  # type: ignore[union-attr]
        observing = policy(Mode.OBSERVE)
        order(observing, wide, first, 86400.0, 1000.0)
        assert decide(observing, alert("198.51.100.7", strength=second), 1000.0).verdict is Verdict.OBSERVE


def test_an_egress_ban_covers_another() -> None:
    """Of the same kind, a wider and longer one leaves nothing to add, and a later end refreshes."""
    some = policy()
    order(some, parse_network("198.51.100.0/24"), Strength.DESTINATION, 86400.0, 1000.0)
    told = alert("198.51.100.7", strength=Strength.DESTINATION)
    assert decide(some, told, 1000.0).verdict is Verdict.COVERED
    own = policy()
    assert [decide(own, told, 1000.0).verdict for _ in range(2)] == [Verdict.BAN, Verdict.COVERED]
    later = alert("198.51.100.7", time_s=3000.0, strength=Strength.DESTINATION)
    assert decide(own, later, 3000.0).verdict is Verdict.REFRESH
    assert (own.ledger.count(Mode.ENFORCE, Strength.DESTINATION), len(own.ledger)) == (1, 1)


def test_what_is_never_banned_gets_no_egress_ban() -> None:
    """A resolver that pods call stays reachable, whoever asks for an egress ban of it or of a prefix around it."""
    some = policy()
    assert decide(some, alert("192.0.2.53", strength=Strength.DESTINATION), 1000.0).verdict is Verdict.ALLOWLISTED
    for text in ("192.0.2.53", "192.0.2.0/24"):
        assert order(some, parse_network(text), Strength.DESTINATION, 60.0, 1000.0).verdict is Verdict.ALLOWLISTED


def test_evidence_from_long_ago_bans_nobody() -> None:
    """A backlog read after a restart must not ban for offences whose ban would be over."""
    assert decide(policy(), alert("198.51.100.7"), 4600.0).verdict is Verdict.STALE


def test_a_full_ledger_refuses_and_says_so() -> None:
    """Beyond max_bans nothing is entered; who is banned already can still be refreshed."""
    small = policy(max_bans=2)
    verdicts = [decide(small, alert(f"198.51.100.{n}"), 1000.0).verdict for n in range(3)]
    assert verdicts == [Verdict.BAN, Verdict.BAN, Verdict.FULL]
    assert decide(small, alert("198.51.100.1", time_s=2000.0), 2000.0).verdict is Verdict.REFRESH


@pytest.mark.parametrize("text", ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.53", "127.0.0.1"])
def test_the_guard_holds_against_people_too(text: str) -> None:
    """An order that would hit what is allowed is refused like an alert."""
    assert order(policy(), parse_network(text), Strength.PROVEN, 60.0, 1000.0).verdict is Verdict.ALLOWLISTED


def test_bans_end_at_their_time() -> None:
    """`expire` returns each ban once, at its end and not before, also after a refresh moved the end."""
    ledger = Ledger(max_bans=1000)
    some = Policy(Guard([]), ledger, Rules({}))
    ban = order(some, parse_network("198.51.100.7"), Strength.PROVEN, 60.0, 1000.0).ban
    assert ban is not None
    for second in range(500):  # replaced over and over, the ledger must not grow
        ledger.put(msgspec.structs.replace(ban, until_s=1060.0 + second))
    assert ledger.expire(1558.9) == []
    assert [ended.network for ended, _, _ in ledger.expire(1559.0)] == [ban.network]
    assert ledger.expire(9999.0) == []
    assert len(ledger) == 0


def test_notes_are_bounded() -> None:
    """Of any number of addresses the last 4096 are remembered, with the last 8 notes each."""
    some = policy()
    for number in range(5000):
        decide(some, alert(f"198.18.{number >> 8}.{number & 255}"), 1000.0)
    for number in range(20):
        decide(some, alert("198.51.100.7", time_s=1000.0 + number), 1000.0)
    assert some.ledger.notes(parse_address("198.18.0.0")) == []
    assert len(some.ledger.notes(parse_address("198.51.100.7"))) == 8
