"""A rule accepts what nobody has sent for a long time."""

import time
from collections.abc import Iterator

from monitor.audit.baselines import idle_key, idle_since_s, is_idle
from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity

IDLE_S = 30 * 86_400


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    is_found = False
    for chain in facts.ruleset.chains:
        for rule in filter(is_idle, chain.rules):
            since_s = idle_since_s(idle_key(rule), facts)
            if facts.time_s - since_s >= IDLE_S:
                is_found = True
                day = time.strftime("%Y-%m-%d", time.gmtime(since_s))
                yield check.fail(str(rule.ref), f"no packet has met this rule since {day} at least", rule=rule.ref)
    if not is_found and facts.baseline.is_empty and facts.previous.is_empty:
        yield check.passed("no rule is known to be unused; that takes 30 days of audits")


CHECK = Check(
    id="never-hit",
    title="No rule that accepts has been unused for 30 days",
    reason="A rule for what is gone stays open for what comes next to the same port.",
    severity=Severity.INFO,
    remedy="Delete the rule if what it is for is gone.",
    false_positives="Rules for rare cases, such as a restore. Only rules with a counter are judged, and rules that drop"
    " are healthy at 0.",
    needs=(Part.RULESET,),
    judge=_judge,
)
