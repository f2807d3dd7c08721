"""The input path of the node accepts what no rule decides."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    inputs = [chain for chain in facts.ruleset.chains if chain.hook == "input"]
    if not any(chain.policy == "drop" for chain in inputs):
        rule = None
        if inputs:
            last = inputs[-1]
            rule = RuleRef(family=last.family, table=last.table, chain=last.name, text="policy accept")
        yield check.fail("input", "no chain drops what no rule accepts", rule=rule)


CHECK = Check(
    id="default-accept",
    title="What no rule accepts is dropped",
    reason="A service that somebody starts later is open at once, unless the firewall drops what it does not know.",
    severity=Severity.HIGH,
    remedy="Give the input chain of your firewall the policy drop, after rules for what must be open.",
    false_positives="Cilium and cloud firewalls drop outside of nftables.",
    needs=(Part.RULESET,),
    judge=_judge,
)
