"""Two firewalls that do not list each other's rules: iptables-legacy and nftables."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.ruleset import Author

_OWN_WAY = frozenset({Author.NODEWARDEN, Author.CROWDSEC, Author.FAIL2BAN})
"""They only drop: what the other firewall accepts cannot undo that."""


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    ruleset = facts.ruleset
    if ruleset.legacy_lack:
        yield check.unknown("", ruleset.legacy_lack)
        return
    both = sorted(
        {
            f"{chain.family} {chain.table}"
            for chain in ruleset.chains
            if chain.author not in _OWN_WAY and any(rule.author not in _OWN_WAY for rule in chain.rules)
        }
    )
    if both and ruleset.legacy_tables:
        yield check.fail(
            "iptables-legacy",
            f"iptables-legacy has rules in {', '.join(ruleset.legacy_tables)}, nftables in {', '.join(both[:4])}"
            + (f" and {len(both) - 4} more tables" if len(both) > 4 else ""),
        )


CHECK = Check(
    id="legacy-and-nft",
    title="All rules are in one firewall",
    reason="A packet passes both, and each tool lists its own rules only: what one accepts, the other may drop"
    " unseen, and a change to one of them may open nothing, or close nothing.",
    severity=Severity.HIGH,
    remedy="Move all programs to one of them: `update-alternatives --config iptables`, then flush the other's tables"
    " (`iptables-legacy -F`) or reboot.",
    false_positives="None known: tables of iptables-legacy without rules do not count.",
    needs=(Part.RULESET,),
    judge=_judge,
)
