"""A sender chooses the way of its packets through the node."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import both, combined, listed, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    yield from unknown(check, facts, "net.ipv4.conf.all.accept_source_route")
    names = [name for name in facts.host.interfaces if combined(facts.host, name, "accept_source_route", both)]
    if names:
        yield check.fail("net.ipv4.conf.*.accept_source_route", f"source routes are followed on {listed(names)}")


CHECK = Check(
    id="source-route",
    title="Packets with a source route are not followed",
    reason="Source routes lead around firewalls, and bring the answers to a forged address back to the sender.",
    severity=Severity.MEDIUM,
    remedy="Set net.ipv4.conf.all.accept_source_route to 0: `all` and the interface must both be set for it to work.",
    needs=(Part.HOST,),
    judge=_judge,
)
