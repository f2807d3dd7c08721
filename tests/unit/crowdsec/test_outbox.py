"""What LAPI is told, and what it never is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.crowdsec import outbox
from monitor.crowdsec.outbox import News, Outbox, alert_of
from monitor.model import ports
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, Ban, ClaimOrigin, Mode

HOST = parse_network("203.0.113.7")
CLAIM = Ban(HOST, Strength.PROVEN, 1000.0, 4600.0, "sshd", "7 failed logins")
SCENARIO = "nodewarden/web-1/sshd"


def settled(claim: Ban, verdict: Verdict = Verdict.BAN) -> list[Decision]:
    """Return the decision on a claim."""
    return [Decision(verdict, claim.network, claim.detector, claim=claim)]


NEVER: dict[str, dict[str, object]] = {
    "forgeable evidence": {"strength": Strength.SPOOFABLE},
    "an egress ban": {"strength": Strength.DESTINATION},
    "only observed": {"mode": Mode.OBSERVE},
    "pulled from LAPI": {"origin": ClaimOrigin.PEER, "detector": "crowdsec/lapi"},
    "a peer of the fleet": {"origin": ClaimOrigin.PEER, "detector": "web-2"},
    "a list": {"origin": ClaimOrigin.LIST, "detector": "drop"},
    "an import": {"origin": ClaimOrigin.IMPORT, "detector": "import"},
    "a person": {"origin": ClaimOrigin.OPERATOR, "detector": MANUAL},
    "a prefix": {"network": parse_network("203.0.113.0/24")},
    "a wide prefix of IPv6": {"network": parse_network("2001:db8::/48")},
    "a few ports": {"network": Network(HOST.address, 32, ports.pack([(6, 22)]))},
}


@pytest.mark.parametrize("what", NEVER)
def test_what_is_never_pushed(what: str) -> None:
    """Neither the ban nor its end."""
    box = Outbox("web-1")
    claim = msgspec.structs.replace(CLAIM, **NEVER[what])
    box.settled(settled(claim))
    box.ended([Ended(claim, (claim,), Ending.LIFTED)])
    assert len(box) == 0


@pytest.mark.parametrize("verdict", Verdict)
def test_a_ban_is_pushed_once_it_is_in_force(verdict: Verdict) -> None:
    """Also one that another claim holds already, or that became longer."""
    box = Outbox("web-1")
    box.settled(settled(CLAIM, verdict))
    is_pushed = verdict in (Verdict.BAN, Verdict.REFRESH, Verdict.CLAIM)
    assert len(box) == is_pushed
    if is_pushed:
        assert box.take(9) == [News("203.0.113.7", SCENARIO, 4600.0, 1000.0, "sshd: 7 failed logins")]


@pytest.mark.parametrize("cause", Ending)
def test_what_ends_before_its_time_is_withdrawn(cause: Ending) -> None:
    """What expires does so at LAPI too; what had to make room is an offender still."""
    box = Outbox("web-1")
    box.ended([Ended(CLAIM, (CLAIM,), cause)])
    is_withdrawn = cause in (Ending.LIFTED, Ending.ALLOWLISTED, Ending.WITHDRAWN)
    assert box.take(9) == ([News("203.0.113.7", SCENARIO)] if is_withdrawn else [])


def test_the_latest_news_of_a_ban_count() -> None:
    """An unban overtakes the ban that waits, also one that failed on its way and comes back."""
    box = Outbox("web-1")
    box.settled(settled(CLAIM))
    on_its_way = box.take(9)
    box.ended([Ended(CLAIM, (CLAIM,), Ending.LIFTED)])
    box.put_back(on_its_way)
    assert box.take(9) == [News("203.0.113.7", SCENARIO)]


def test_a_withdrawal_survives_errors_of_lapi_but_not_without_end() -> None:
    """Its database was locked for a moment: the unban comes again, after others; what it never takes is given up."""
    box = Outbox("web-1")
    box.ended([Ended(CLAIM, (CLAIM,), Ending.LIFTED)])
    other = msgspec.structs.replace(CLAIM, network=parse_network("203.0.113.8"))
    tried = 0
    while withdrawal := [one for one in box.take(1) if one.value == "203.0.113.7"]:
        tried += 1
        box.ended([Ended(other, (other,), Ending.LIFTED)])
        box.put_last(withdrawal)
        assert [one.value for one in box.take(1)] == ["203.0.113.8"]
    assert (tried, box.dropped_total, len(box)) == (8, 1, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.sampled_from(["add", "take", "back", "last"]))))
def test_the_outbox_is_bounded_and_loses_only_the_oldest(steps: list[tuple[bool, int, str]]) -> None:
    """Whatever happens, there is one entry for each ban, at most the limit, and what was dropped is counted."""
    limit, outbox.MAX_WAITING = outbox.MAX_WAITING, 8
    try:
        box, taken = Outbox("web-1"), list[News]()
        for is_end, number, step in steps:
            claim = msgspec.structs.replace(CLAIM, network=Network(bytes((203, 0, 113, number)), 32))
            if step == "take":
                taken = box.take(3)
                assert len({bool(one.until_s) for one in taken}) <= 1
            elif step in ("back", "last"):
                (box.put_back if step == "back" else box.put_last)(taken)
                taken = []
            elif is_end:
                box.ended([Ended(claim, (claim,), Ending.LIFTED)])
            else:
                box.settled(settled(claim))
            assert len(box) <= 8
        everything = [one for _ in range(20) for one in box.take(1)]
        assert len({(one.value, one.scenario) for one in everything}) == len(everything)
    finally:
        outbox.MAX_WAITING = limit


def test_an_alert_has_what_lapi_requires_and_its_remaining_time() -> None:
    """One that is over is none."""
    alert = alert_of(News("2001:db8::/64", SCENARIO, 4600.0, 1000.0, "x", 7), 1000.5)
    assert alert is not None
    (decision,) = alert["decisions"]
    assert (decision["duration"], decision["scope"], alert["source"]["scope"]) == ("3600s", "Range", "Range")
    assert alert["start_at"] == "1970-01-01T00:16:40Z"
    assert alert_of(News("203.0.113.7", SCENARIO, 4600.0), 4599.5) is None
