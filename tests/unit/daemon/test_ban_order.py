"""Listeners are told what came to be in the order in which it did."""

from collections.abc import Sequence

from monitor.bans.decision import Decision, Ended, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ladder import steps_of
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.daemon.pipeline.ban_control import BanControl
from monitor.daemon.pipeline.listeners import Listener, Listeners
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import host
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, ClaimKey, Mode, claim_key
from tests.support.policy import Willing

EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")


class Rows(Listener):
    """Holds a row for each claim, as the store does."""

    def __init__(self) -> None:
        self.rows: dict[ClaimKey, Ban] = {}

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Put claims."""
        self.rows |= {claim_key(one.claim): one.claim for one in decisions if one.claim and one.ban}

    def ended(self, ended: Sequence[Ended]) -> None:
        """Strike claims out."""
        for one in ended:
            for claim in one.claims:
                self.rows.pop(claim_key(claim), None)


def alert(detector: str, last: int, strength: Strength = Strength.PROVEN) -> Alert:
    """Return an alert about 198.51.100.LAST."""
    source = host(bytes((198, 51, 100, last)))
    return Alert(detector, 1000.0, source.address, source, True, strength, EVIDENCE)


def test_what_a_follow_up_displaces_is_told_after_it_was_entered() -> None:
    """A source that was shunned yields to the prefix ban that follows from the same batch: no row of it stays."""
    rules = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0)}, ladder=tuple(steps_of({"ipv4_24": 2})))
    ledger = Ledger(max_bans=3)
    policy = Policy(Guard([]), ledger, rules, lambda: 0.0)
    rows = Rows()
    table = Willing(NftablesEnforcer(max_bans=16), ledger, ())
    control = BanControl(policy, Enforcement(table), Listeners([rows]))
    draft = policy.draft(1000.0)
    alerts = [alert("sshd", 3, Strength.SPOOFABLE), alert("sshd", 1), alert("sshd", 2)]
    for one in alerts:
        policy.propose(draft, one)
    verdicts = [decision.verdict for decision in control.carry_out(draft, alerts)]
    assert verdicts == [Verdict.BAN] * 4
    assert sorted(str(ban.network) for ban in ledger.bans()) == ["198.51.100.0/24", "198.51.100.1", "198.51.100.2"]
    assert rows.rows == {claim_key(claim): claim for claim in ledger.all_claims()}


def test_what_newer_observed_entries_displace_within_a_batch_leaves_no_row() -> None:
    """A batch of forged sources larger than the ring: the store has what the ledger has."""
    ledger = Ledger(max_bans=16, max_observed=2)
    policy = Policy(Guard([]), ledger, Rules({"scan": DetectorPolicy(Mode.OBSERVE, 600.0)}), lambda: 0.0)
    rows = Rows()
    table = Willing(NftablesEnforcer(max_bans=16), ledger, ())
    control = BanControl(policy, Enforcement(table), Listeners([rows]))
    for first in (0, 10):
        draft = policy.draft(1000.0)
        alerts = [alert("scan", first + last, Strength.SPOOFABLE) for last in range(9)]
        for one in alerts:
            policy.propose(draft, one)
        control.carry_out(draft, alerts)
        assert len(ledger) == 2
        assert rows.rows == {claim_key(claim): claim for claim in ledger.all_claims()}


class Restarting(Willing):
    """A table that is set up again, without what is new, the first times that it refreshes."""

    restarts = 2

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Note what it has."""
        self.has = {ban.network: ban.until_s for ban in bans}
        return []

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Lose what was added, while there are restarts left."""
        if self.restarts:
            self.restarts -= 1
            self.generation += 1
            self.has = {}
        self.has |= {ban.network: ban.until_s for ban in bans}
        return []

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """End bans."""
        self.has = {}


def test_what_is_new_is_written_again_each_time_the_table_was_set_up_meanwhile() -> None:
    """Set up twice while bans are made longer, it has all in the end; set up over and over, nothing counts."""
    new = Ban(host(bytes((192, 0, 2, 1))), Strength.PROVEN, 0.0, 600.0, "sshd", "")
    longer = Ban(host(bytes((192, 0, 2, 2))), Strength.PROVEN, 0.0, 900.0, "sshd", "")
    table = Restarting(NftablesEnforcer(max_bans=16), Ledger(max_bans=16), ())
    assert Enforcement(table).enforce([new], [longer], 0.0) == {}
    assert table.has == {new.network: 600.0, longer.network: 900.0}
    table.restarts = 1000
    refused = Enforcement(table).enforce([new], [longer], 0.0)
    assert len(refused) == 2
    assert new.network not in table.has
