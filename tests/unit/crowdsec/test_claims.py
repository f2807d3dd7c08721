"""Which decisions of LAPI become claims, and which do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.crowdsec.answer import WireDecision
from monitor.crowdsec.claims import Outcome, Reader, Unwanted, claim_origin
from monitor.crowdsec.settings import CrowdsecSettings, ScenarioSet
from monitor.model.alerts import Strength
from monitor.model.bans import ClaimOrigin, read_ban_key

SETTINGS = CrowdsecSettings(
    url="http://127.0.0.1:8080", bouncer_key_file="/key", machine="web-1", origins=("crowdsec", "cscli", "CAPI")
)


def decision(**changes: Any) -> WireDecision:
    """Return a decision as scenarios make them."""
    usual = {"id": 1, "origin": "crowdsec", "type": "ban", "scope": "Ip", "value": "203.0.113.7", "duration": "4h"}
    return WireDecision(**{**usual, "scenario": "crowdsecurity/ssh-bf", **changes})


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"type": "captcha"}, Outcome.TYPE),
        ({"type": "throttle"}, Outcome.TYPE),
        ({"scope": "Country", "value": "XX"}, Outcome.SCOPE),
        ({"scope": "username", "value": "root"}, Outcome.SCOPE),
        ({"origin": "lists"}, Outcome.ORIGIN),
        ({"origin": ""}, Outcome.ORIGIN),
        ({"scenario": "nodewarden/web-1/sshd"}, Outcome.OWN),
        ({"value": "not-an-address"}, Outcome.MALFORMED),
        ({"value": "203.0.113.7%eth0"}, Outcome.MALFORMED),
        ({"value": ""}, Outcome.MALFORMED),
        ({"duration": "for ever"}, Outcome.MALFORMED),
        ({"duration": "-3s"}, Outcome.EXPIRED),
        ({"duration": "0s"}, Outcome.EXPIRED),
        ({"scope": "Range", "value": "203.0.0.0/16"}, Outcome.WIDE),
        ({"scope": "Range", "value": "0.0.0.0/0"}, Outcome.WIDE),
        ({"scope": "Ip", "value": "0.0.0.0/0"}, Outcome.WIDE),
        ({"scope": "Range", "value": "::ffff:0:0/96"}, Outcome.WIDE),
        ({"scope": "Range", "value": "2001:db8::/32"}, Outcome.WIDE),
        ({"value": "127.0.0.1"}, Outcome.UNUSABLE),
        ({"value": "0.0.0.0"}, Outcome.UNUSABLE),
        ({"value": "0.1.2.3"}, Outcome.UNUSABLE),
        ({"value": "224.0.0.1"}, Outcome.UNUSABLE),
        ({"value": "169.254.1.1"}, Outcome.UNUSABLE),
        ({"value": "255.255.255.255"}, Outcome.UNUSABLE),
        ({"value": "::1"}, Outcome.UNUSABLE),
        ({"value": "::"}, Outcome.UNUSABLE),
        ({"value": "fe80::1"}, Outcome.UNUSABLE),
        ({"value": "::ffff:127.0.0.1"}, Outcome.UNUSABLE),
    ],
)
def test_what_becomes_no_claim(changes: dict[str, Any], outcome: Outcome) -> None:
    """It is counted by why."""
    with pytest.raises(Unwanted) as why:
        Reader(SETTINGS).claim(decision(**changes), 100.0)
    assert why.value.outcome is outcome


@pytest.mark.parametrize(
    ("changes", "network", "strength", "name"),
    [
        ({}, "203.0.113.7", Strength.SPOOFABLE, "crowdsec/lapi"),
        ({"origin": "cscli", "scope": "ip"}, "203.0.113.7", Strength.PROVEN, "crowdsec/lapi"),
        ({"scenario": "nodewarden/web-10/sshd"}, "203.0.113.7", Strength.PROVEN, "crowdsec/lapi"),
        ({"origin": "CAPI", "type": "Ban"}, "203.0.113.7", Strength.SPOOFABLE, "crowdsec/CAPI"),
        ({"value": "::ffff:203.0.113.7"}, "203.0.113.7", Strength.SPOOFABLE, "crowdsec/lapi"),
        ({"scope": "Range", "value": "203.0.113.0/24"}, "203.0.113.0/24", Strength.SPOOFABLE, "crowdsec/lapi"),
        ({"value": "2001:db8::7"}, "2001:db8::7", Strength.SPOOFABLE, "crowdsec/lapi"),
        ({"scope": "Range", "value": "2001:db8:1::/48"}, "2001:db8:1::/48", Strength.SPOOFABLE, "crowdsec/lapi"),
    ],
)
def test_what_becomes_a_claim(changes: dict[str, Any], network: str, strength: Strength, name: str) -> None:
    """What people and other nodes decided is banned, what scenarios and lists did is shunned; lists are lists."""
    claim = Reader(SETTINGS).claim(decision(**changes), 100.0)
    found, grade = read_ban_key(claim.key)
    assert (str(found), grade, claim.name, claim.until_s) == (network, strength, name, 100.0 + 4 * 3600)
    is_list = name != "crowdsec/lapi"
    assert claim_origin(claim.name) is (ClaimOrigin.LIST if is_list else ClaimOrigin.PEER)


def test_scenarios_ban_if_the_operator_says_so() -> None:
    """With `set: ban`."""
    settings = CrowdsecSettings(url="http://lapi", bouncer_key_file="/key", set=ScenarioSet.BAN)
    assert read_ban_key(Reader(settings).claim(decision(), 0.0).key)[1] is Strength.PROVEN


@given(st.builds(WireDecision, st.integers(), *[st.text(max_size=40)] * 6))
def test_no_decision_raises_another_error(hostile: WireDecision) -> None:
    """Whatever LAPI sends, the reason is printable and short."""
    for changes in ({}, {"origin": "crowdsec", "type": "ban", "scope": "ip", "duration": "1h"}):
        for name, value in changes.items():
            setattr(hostile, name, value)
        try:
            claim = Reader(SETTINGS).claim(hostile, 0.0)
        except Unwanted:
            continue
        assert claim.reason.isprintable()
        assert len(claim.reason) <= 128
