"""Log rules of the firewall: which ones show no scan, and which log what is accepted, as the kernel lists them."""

from collections.abc import Iterator

import pytest

from monitor.enforcers.nftables.log_rules import examine, read_log_rules
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_BASE = "type filter hook input priority 0; policy"
UFW = f"""
table ip filter {{
    chain ufw-logging-deny {{
        ct state invalid limit rate 3/minute burst 10 packets log prefix "[UFW AUDIT INVALID] "
        limit rate 3/minute burst 10 packets log prefix "[UFW BLOCK] "
    }}
    chain INPUT {{
        {_BASE} drop;
        jump ufw-logging-deny
    }}
}}
"""


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a host without rules."""
    with Lab("node", label="rules") as lab:
        yield lab["node"]


def found(node: Host, *prefixes: str) -> list[str]:
    """Return the texts of what is found."""
    with node.entered():
        return [one.text for one in examine(prefixes, ("ALLOW", "AUDIT"))]


def test_the_limit_of_ufw_is_recognised(node: Host) -> None:
    """Three lines per minute show no scan; one more rule that logs all does, and so does another prefix's."""
    assert found(node) == []
    node.nft(UFW)
    slow = "rules that log dropped packets are limited so that no scan shows: filter ufw-logging-deny"
    assert found(node) == [f"{slow} (3 per minute, burst 10)"]
    node.nft(
        f'table inet mine {{\nchain in {{\n{_BASE} accept;\nlimit rate 1000/second log prefix "drop: " drop\n}}\n}}\n'
    )
    assert found(node) == []
    assert found(node, "drop: ") == []
    assert found(node, "[UFW") == [f"{slow} (3 per minute, burst 10)"]


@pytest.mark.parametrize(
    ("policy", "rules", "is_fault"),
    [
        ("accept", 'log prefix "in: "', True),
        ("accept", 'tcp dport 22 accept\nlog prefix "in: "', True),
        ("drop", 'log prefix "in: "', False),
        ("accept", 'log prefix "in: " drop', False),
        ("accept", 'log prefix "in: "\ndrop', False),
        ("accept", 'log prefix "in: " reject', False),
        ("accept", 'log prefix "ALLOW in: "', False),
        ("accept", 'log group 3 prefix "in: "', False),
    ],
)
def test_what_a_chain_accepts_is_no_evidence(node: Host, policy: str, rules: str, is_fault: bool) -> None:
    """A log rule at the end of a chain that accepts by default is found, also if other chains follow."""
    node.nft(f"table inet mine {{\nchain in {{\n{_BASE} {policy};\n{rules}\n}}\nchain out {{\naccept\n}}\n}}\n")
    text = "a rule logs what its chain then accepts, which is no evidence: mine in"
    assert found(node) == ([text] if is_fault else [])


def test_our_own_rules_and_others_are_left_out(node: Host) -> None:
    """Rules that do not log are not even decoded; names of others are shown escaped."""
    node.nft('table inet nodewarden {\nchain c {\nlog prefix "ours: "\n}\n}\n')
    node.nft('table inet t {\nchain c {\ncounter accept\nlimit rate over 3/minute log prefix "over: "\n}\n}\n')
    with node.entered():
        (rule,) = read_log_rules()
    assert (rule.where, rule.prefix, rule.lines) == ("t c", "over: ", float("inf"))
